build-asan/vmd/acpi_tables.o: vmd/acpi_tables.c vmd/acpi.h vmd/devenv.h \
 lib/gmem.h vmd/aml.h vmd/ioapic.h vmd/pci.h vmd/bus.h
vmd/acpi.h:
vmd/devenv.h:
lib/gmem.h:
vmd/aml.h:
vmd/ioapic.h:
vmd/pci.h:
vmd/bus.h:
