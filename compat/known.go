package compat

import "github.com/corecheck/corecheck/relocate"

// change is what became of something that tools used to rely on. The rows serve hints only: whether a kernel has a
// thing is always read from that kernel.
type change struct {
	kind relocate.NeedKind
	name string
	hint string
}

// changes are facts of kernel history that BTF does not tell: what replaced what. Each row cites the commit.
var changes = []change{
	{relocate.NeedField, "struct task_struct.state",
		"it is task_struct.__state, an unsigned int, since Linux commit 2f064a59a11f (\"sched: Change task_struct::state\") in v5.14: read it through a flavour, chosen by bpf_core_field_exists()"},
	{relocate.NeedField, "struct request.rq_disk",
		"use request.q->disk, since Linux commit f3fa33acca9f (\"block: remove the ->rq_disk field in struct request\") in v5.17; queues have a disk pointer since v5.15 (d152c682f03c)"},
	{relocate.NeedField, "struct task_struct.cpu",
		"it is task_struct.thread_info.cpu where the kernel has CONFIG_THREAD_INFO_IN_TASK (x86 since v5.16); bpf_get_smp_processor_id() tells the current one everywhere"},
	{relocate.NeedField, "struct bio.bi_disk",
		"use bio.bi_bdev->bd_disk, since Linux commit 309dca309fc3 (\"block: store a block_device pointer in struct bio\") in v5.12"},
	{relocate.NeedField, "struct cfs_rq.nr_running",
		"it is cfs_rq.nr_queued since Linux commit 736c55a02c47 (\"sched/fair: Rename cfs_rq.nr_running into nr_queued\") in v6.14"},
	{relocate.NeedType, "struct trace_event_raw_block_rq_complete",
		"it is struct trace_event_raw_block_rq_completion since Linux commit d5869fdc189f (\"block: introduce block_rq_error tracepoint\") in v5.18"},
	{relocate.NeedType, "struct trace_event_raw_kmem_alloc",
		"the classes of slab events changed with Linux commits 11e9734bcb6a and 2c1d697fb8ba in v6.1: use struct trace_event_raw_kmalloc"},
	{relocate.NeedAttachTarget, "account_page_dirtied",
		"it is folio_account_dirtied since Linux commit 203a31516616 (\"mm/writeback: Add __folio_mark_dirty()\") in v5.16, static and often inlined; the tracepoint writeback_dirty_folio (writeback_dirty_page before v5.18) is stable"},
	{relocate.NeedAttachTarget, "blk_account_io_start",
		"it became an inline wrapper with Linux commit be6bfe36db17 (\"block: inline hot paths of blk_account_io_*()\") in v5.16; use the tracepoint block_io_start, in v6.5 and later"},
	{relocate.NeedAttachTarget, "blk_account_io_done",
		"it became an inline wrapper with Linux commit be6bfe36db17 (\"block: inline hot paths of blk_account_io_*()\") in v5.16; use the tracepoint block_io_done, in v6.5 and later"},
	{relocate.NeedAttachTarget, "__blk_account_io_start",
		"it is inlined by later compilers and was renamed back; use the tracepoint block_io_start, in v6.5 and later"},
	{relocate.NeedAttachTarget, "__blk_account_io_done",
		"it is inlined by later compilers and was renamed back; use the tracepoint block_io_done, in v6.5 and later"},
	{relocate.NeedAttachTarget, "block_io_start",
		"the tracepoint came with Linux commit 5a80bd075f3b (\"block: introduce block_io_start/block_io_done tracepoints\") in v6.5; on older kernels trace blk_account_io_start or block_rq_issue, and switch the program off where the tracepoint is missing (bpf_program__set_autoload)"},
	{relocate.NeedAttachTarget, "block_io_done",
		"the tracepoint came with Linux commit 5a80bd075f3b (\"block: introduce block_io_start/block_io_done tracepoints\") in v6.5; on older kernels trace blk_account_io_done or block_rq_complete, and switch the program off where the tracepoint is missing (bpf_program__set_autoload)"},
	{relocate.NeedAttachTarget, "_do_fork",
		"it is kernel_clone since Linux commit cad6967ac108 (\"fork: introduce kernel_clone()\") in v5.10"},
	{relocate.NeedAttachTarget, "__do_page_cache_readahead",
		"it is do_page_cache_ra since v5.10 (8238287eadb2, \"mm/readahead: make do_page_cache_ra take a readahead_control\")"},
	{relocate.NeedAttachTarget, "add_to_page_cache_lru",
		"the page cache calls filemap_add_folio since v5.16; the old name is a wrapper that hot paths no longer use"},
	{relocate.NeedAttachTarget, "mark_page_accessed",
		"the page cache calls folio_mark_accessed since v5.16; the old name is a wrapper that hot paths no longer use"},
	{relocate.NeedAttachTarget, "migrate_misplaced_page",
		"it is migrate_misplaced_folio since v6.8"},
}

// knownChange returns the hint for a need, "" where nothing is known.
func knownChange(kind relocate.NeedKind, name string) string {
	for i := range changes {
		if changes[i].kind == kind && changes[i].name == name {
			return changes[i].hint
		}
	}
	return ""
}
