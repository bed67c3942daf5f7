// SPDX-License-Identifier: (ISC OR GPL-2.0)
/*
 * Statistics in the layout of the KVM API documentation, "KVM_GET_STATS_FD":
 * header, id, descriptors, values.  A read makes all of it and takes the part
 * that was asked for, so that nothing is shared between readers.
 *
 * Invariant: counters are written by the thread that holds vcpu->lock and read
 * by anybody; each is read once, and none can go back.
 */
#include <linux/anon_inodes.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include "stats.h"

#define NAME 48
#define MOST (HV_EXITS + 4)

/* Constant after creation. */
struct stats_file {
	struct vm *vm; /* a reference */
	struct vcpu *vcpu; /* NULL: the VM's own */
	char id[NAME];
};

/* One of them, in an order that does not change between reads. */
struct counter {
	const char *name;
	u32 type; /* KVM_STATS_TYPE_* */
	u64 value;
};

/* struct kvm_stats_desc as user space has it: some kernels give theirs a name
 * of fixed size, which would be a second one. */
struct desc {
	u32 flags;
	s16 exponent;
	u16 size;
	u32 offset, bucket_size;
	char name[NAME];
};
_Static_assert(
    offsetof(struct desc, name) == offsetof(struct kvm_stats_desc, name),
    "struct kvm_stats_desc");

struct image {
	struct kvm_stats_header head;
	char id[NAME];
	struct desc desc[MOST];
	u64 value[MOST];
};

/* KVM's own names where it counts the same. */
static const char *const exit_names[HV_EXITS] = {
	[HV_INTR] = "irq_exits",
	[HV_NPF] = "npf_exits",
	[HV_EXCEPTION] = "exception_exits",
	[HV_CPUID] = "cpuid_exits",
	[HV_RDMSR] = "rdmsr_exits",
	[HV_WRMSR] = "wrmsr_exits",
	[HV_HLT] = "halt_exits",
	[HV_IO] = "io_exits",
	[HV_HYPERCALL] = "hypercalls",
	[HV_WINDOW_INTR] = "irq_window_exits",
	[HV_WINDOW_NMI] = "nmi_window_exits",
	[HV_CR] = "cr_exits",
	[HV_DR] = "dr_exits",
	[HV_XSETBV] = "xsetbv_exits",
	[HV_WBINVD] = "wbinvd_exits",
	[HV_PAUSE] = "pause_exits",
	[HV_RDPMC] = "rdpmc_exits",
	[HV_INVLPG] = "invlpg",
	[HV_TASK] = "task_switch_exits",
	[HV_UD] = "ud_exits",
	[HV_EMULATE] = "emulate_exits",
	[HV_SHUTDOWN] = "shutdown_exits",
	[HV_FAILED] = "failed_entries",
};

static u64
all_exits(struct vcpu *v)
{
	u64 sum = 0;
	unsigned i;

	for (i = 0; i < HV_EXITS; i++)
		sum += READ_ONCE(v->exits[i]);
	return sum;
}

static unsigned
of_vcpu(struct vcpu *v, struct counter *s)
{
	unsigned i, n = 0;

	s[n++] = (struct counter){ "exits", KVM_STATS_TYPE_CUMULATIVE,
		all_exits(v) };
	s[n++] = (struct counter){ "signal_exits", KVM_STATS_TYPE_CUMULATIVE,
		READ_ONCE(v->signals) };
	for (i = 0; i < HV_EXITS; i++)
		s[n++] = (struct counter){ exit_names[i],
			KVM_STATS_TYPE_CUMULATIVE, READ_ONCE(v->exits[i]) };
	return n;
}

static unsigned
of_vm(struct vm *vm, struct counter *s)
{
	unsigned i, n = smp_load_acquire(&vm->nvcpus);
	u64 sum = 0;

	for (i = 0; i < n; i++)
		sum += all_exits(READ_ONCE(vm->vcpu[i]));
	s[0] = (struct counter){ "exits", KVM_STATS_TYPE_CUMULATIVE, sum };
	s[1] = (struct counter){ "vcpus", KVM_STATS_TYPE_INSTANT, n };
	s[2] = (struct counter){ "mmu_invalidations", KVM_STATS_TYPE_CUMULATIVE,
		READ_ONCE(vm->mmu_seq) };
	return 3;
}

/* The bytes of it that count. */
static size_t
draw(struct image *m, const struct stats_file *f)
{
	struct counter s[MOST];
	unsigned i, n;

	n = f->vcpu ? of_vcpu(f->vcpu, s) : of_vm(f->vm, s);
	m->head.name_size = NAME;
	m->head.num_desc = n;
	m->head.id_offset = offsetof(struct image, id);
	m->head.desc_offset = offsetof(struct image, desc);
	m->head.data_offset = offsetof(struct image, value);
	memcpy(m->id, f->id, NAME);
	for (i = 0; i < n; i++) {
		m->desc[i].flags =
		    s[i].type | KVM_STATS_UNIT_NONE | KVM_STATS_BASE_POW10;
		m->desc[i].size = 1;
		m->desc[i].offset = i * sizeof(u64);
		strscpy(m->desc[i].name, s[i].name, NAME);
		m->value[i] = s[i].value;
	}
	return offsetof(struct image, value) + n * sizeof(u64);
}

static ssize_t
stats_read(struct file *file, char __user *to, size_t len, loff_t *pos)
{
	struct image *m = kzalloc(sizeof(*m), GFP_KERNEL);
	ssize_t r;

	if (!m)
		return -ENOMEM;
	r = simple_read_from_buffer(
	    to, len, pos, m, draw(m, file->private_data));
	kfree(m);
	return r;
}

static int
stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *f = file->private_data;

	vm_put(f->vm);
	kfree(f);
	return 0;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

/* Takes f. */
static long
open_file(struct stats_file *f)
{
	struct file *file;
	int fd;

	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0) {
		kfree(f);
		return fd;
	}
	file = anon_inode_getfile("vmm-stats", &fops, f, O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		kfree(f);
		return PTR_ERR(file);
	}
	vm_get(f->vm);
	file->f_mode |= FMODE_PREAD;
	fd_install(fd, file);
	return fd;
}

static struct stats_file *
make(struct vm *vm, struct vcpu *v)
{
	struct stats_file *f = kzalloc(sizeof(*f), GFP_KERNEL_ACCOUNT);

	if (!f)
		return NULL;
	f->vm = vm;
	f->vcpu = v;
	return f;
}

long
stats_vm(struct vm *vm)
{
	struct stats_file *f = make(vm, NULL);

	if (!f)
		return -ENOMEM;
	snprintf(f->id, NAME, "vmm-%d", task_tgid_nr(current));
	return open_file(f);
}

long
stats_vcpu(struct vcpu *v, unsigned long arg)
{
	struct stats_file *f = make(v->vm, v);

	if (!f)
		return -ENOMEM;
	snprintf(f->id, NAME, "vmm-%d/vcpu-%u", task_tgid_nr(current), v->id);
	return open_file(f);
}
