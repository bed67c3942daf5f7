build-asan/vmd/acpi_pm.o: vmd/acpi_pm.c vmd/acpi.h vmd/devenv.h \
 lib/gmem.h
vmd/acpi.h:
vmd/devenv.h:
lib/gmem.h:
