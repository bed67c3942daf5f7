build-asan/vmd/ioapic.o: vmd/ioapic.c vmd/ioapic.h vmd/devenv.h
vmd/ioapic.h:
vmd/devenv.h:
