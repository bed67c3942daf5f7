build-asan/regress/vmd/test_i8259: regress/vmd/test_i8259.c \
 regress/vmd/fakeenv.h vmd/devenv.h vmd/i8259.h vmd/devenv.h
regress/vmd/fakeenv.h:
vmd/devenv.h:
vmd/i8259.h:
vmd/devenv.h:
