build-asan/regress/vmd/test_ioapic: regress/vmd/test_ioapic.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/ioapic.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/ioapic.h:
vmd/devenv.h:
