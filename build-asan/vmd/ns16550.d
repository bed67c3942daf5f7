build-asan/vmd/ns16550.o: vmd/ns16550.c vmd/ns16550.h vmd/devenv.h
vmd/ns16550.h:
vmd/devenv.h:
