build-asan/vmd/i8042.o: vmd/i8042.c vmd/i8042.h vmd/devenv.h
vmd/i8042.h:
vmd/devenv.h:
