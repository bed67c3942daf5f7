build-asan/regress/vmd/test_ns16550: regress/vmd/test_ns16550.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/ns16550.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/ns16550.h:
vmd/devenv.h:
