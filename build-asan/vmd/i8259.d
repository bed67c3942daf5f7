build-asan/vmd/i8259.o: vmd/i8259.c vmd/i8259.h vmd/devenv.h
vmd/i8259.h:
vmd/devenv.h:
