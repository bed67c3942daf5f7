build-asan/vmd/i8254.o: vmd/i8254.c vmd/i8254.h vmd/devenv.h
vmd/i8254.h:
vmd/devenv.h:
