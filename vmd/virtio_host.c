/* SPDX-License-Identifier: ISC */

/* The operations of virtio_host.h over the hypervisor's interface. */
#include "virtio_host.h"
#include "vmm.h"

static int
host_ioeventfd(struct virtio_host *h, int fd, uint16_t port, unsigned len,
    int64_t match, bool assign)
{
	return vmm_ioeventfd(h->vmm, fd, port, len, true, match, assign);
}

static int
host_irqfd(struct virtio_host *h, int fd, unsigned gsi, bool assign)
{
	return vmm_irqfd(h->vmm, fd, gsi, assign);
}

static void
host_route_set(
    struct virtio_host *h, unsigned gsi, uint64_t addr, uint32_t data)
{
	vmm_route_set(h->vmm, gsi, addr, data);
}

static void
host_route_clear(struct virtio_host *h, unsigned gsi)
{
	vmm_route_clear(h->vmm, gsi);
}

static int
host_route_commit(struct virtio_host *h)
{
	return vmm_route_commit(h->vmm);
}

static int
host_msi(struct virtio_host *h, uint64_t addr, uint32_t data)
{
	return vmm_signal_msi(h->vmm, addr, data);
}

static void
host_lock(struct virtio_host *h)
{
	h->calls->lock(h->arg);
}

static void
host_unlock(struct virtio_host *h)
{
	h->calls->unlock(h->arg);
}

static void
host_hold(struct virtio_host *h, bool on)
{
	h->calls->hold(h->arg, on);
}

static const struct virtio_irq_ops ops = {
	.ioeventfd = host_ioeventfd,
	.irqfd = host_irqfd,
	.route_set = host_route_set,
	.route_clear = host_route_clear,
	.route_commit = host_route_commit,
	.msi = host_msi,
	.lock = host_lock,
	.unlock = host_unlock,
	.hold = host_hold,
};

void
virtio_host_init(struct virtio_host *h, struct vmm *vmm,
    struct event_base *base, const struct virtio_host_calls *calls, void *arg)
{
	*h = (struct virtio_host){
		.ops = &ops,
		.base = base,
		.next_gsi = VMM_GSI_PINS,
		.end_gsi = VMM_GSI_MAX,
		.vmm = vmm,
		.calls = calls,
		.arg = arg,
	};
}
