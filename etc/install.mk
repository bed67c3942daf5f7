# SPDX-License-Identifier: ISC
# make install [DESTDIR=] [PREFIX=/usr/local] [SYSCONFDIR=/etc]
# make install-dkms [DESTDIR=]
#
# With an empty DESTDIR, as root, the user _vmd and what tmpfiles.d(5) says
# are made at once; a package does that when it is installed.

DESTDIR		?=
bindir		= $(DESTDIR)$(PREFIX)/bin
sbindir		= $(DESTDIR)$(PREFIX)/sbin
sharedir	= $(DESTDIR)$(PREFIX)/share
# These are looked for below /usr/lib wherever the programs are.
usrlib		= $(DESTDIR)/usr/lib
man_PAGES	= $(wildcard vmd/*.[1-8] etc/*.[1-8] vmctl/*.[1-8] kernel/*.[1-8])
module_VERSION	= $(shell sed -n 's/^PACKAGE_VERSION="\(.*\)"/\1/p' \
		    kernel/dkms.conf)
module_SRC	= $(usrlib:/lib=/src)/vmm-$(module_VERSION)

.PHONY: install install-system install-dkms

install: all
	install -d $(bindir) $(sbindir) $(DESTDIR)$(SYSCONFDIR) \
	    $(usrlib)/sysusers.d $(usrlib)/tmpfiles.d $(usrlib)/udev/rules.d \
	    $(usrlib)/systemd/system $(sharedir)/doc/vmm/examples \
	    $(sharedir)/bash-completion/completions \
	    $(sharedir)/zsh/site-functions
	install -d -m 755 $(DESTDIR)/var/empty
	install -m 755 $(B)/vmd/vmd $(sbindir)/vmd
	install -m 755 $(B)/vmctl/vmctl $(bindir)/vmctl
	install -m 755 etc/vmd-cert $(sbindir)/vmd-cert
	ln -sf vmctl $(bindir)/vmmctl
	install -m 644 etc/vmd.sysusers $(usrlib)/sysusers.d/vmd.conf
	install -m 644 etc/vmd.tmpfiles $(usrlib)/tmpfiles.d/vmd.conf
	install -m 644 etc/vmd.rules $(usrlib)/udev/rules.d/60-vmd.rules
	@set -e; for u in vmd.service vm@.service; do \
		sed 's,@PREFIX@,$(PREFIX),g' etc/$$u \
		    >$(usrlib)/systemd/system/$$u; \
		chmod 644 $(usrlib)/systemd/system/$$u; \
	done
	install -m 644 etc/vm.conf $(sharedir)/doc/vmm/examples/vm.conf
	@if [ -f vmctl/vmctl.bash ]; then \
		install -m 644 vmctl/vmctl.bash \
		    $(sharedir)/bash-completion/completions/vmctl; \
	fi
	ln -sf vmctl $(sharedir)/bash-completion/completions/vmmctl
	install -m 644 vmctl/vmctl.zsh $(sharedir)/zsh/site-functions/_vmctl
	@set -e; for m in $(man_PAGES); do \
		d=$(sharedir)/man/man$${m##*.}; \
		install -d $$d; install -m 644 $$m $$d/; \
	done
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then \
		$(MAKE) --no-print-directory install-system; \
	fi

install-system:
	@if getent passwd _vmd >/dev/null; then :; \
	elif command -v systemd-sysusers >/dev/null; then \
		systemd-sysusers vmd.conf; \
	else \
		adduser --system --group --no-create-home --home /var/empty \
		    --shell /usr/sbin/nologin --force-badname _vmd; \
	fi
	@if [ -d /run/systemd/system ]; then \
		systemd-tmpfiles --create vmd.conf; \
		systemctl daemon-reload; \
	fi

# The driver's source, built by dkms(8) for each kernel of the host, now and
# when another one is installed.
install-dkms:
	install -d $(module_SRC) $(usrlib)/modprobe.d $(usrlib)/udev/rules.d
	cd kernel && find . \( -name '*.[chS]' -o -name Kbuild -o -name Makefile \
	    -o -name dkms.conf \) -exec cp --parents -t $(abspath $(module_SRC)) \
	    {} +
	install -m 644 etc/vmm.modprobe $(usrlib)/modprobe.d/vmm.conf
	install -m 644 etc/vmd.rules $(usrlib)/udev/rules.d/60-vmd.rules
	@if [ -z "$(DESTDIR)" ]; then \
		dkms remove vmm/$(module_VERSION) --all >/dev/null 2>&1; \
		dkms add vmm/$(module_VERSION) || exit; \
		for k in /lib/modules/*/build/Makefile; do \
			k=$${k%/build/Makefile}; k=$${k##*/}; \
			[ "$$k" != "*" ] || k=$$(uname -r); \
			dkms install vmm/$(module_VERSION) -k "$$k" || exit; \
		done; \
	fi
