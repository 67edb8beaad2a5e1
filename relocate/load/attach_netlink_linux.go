package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// Kernels before 6.6 have no links for traffic control, and a netkit device must be made before a program can be attached
// to it. Both take a few requests of rtnetlink(7), whose numbers are in the machine's byte order.

// Numbers of include/uapi/linux/pkt_sched.h and pkt_cls.h that golang.org/x/sys lacks.
const (
	tcKind         = 1          // TCA_KIND
	tcOptions      = 2          // TCA_OPTIONS
	tcBPFFD        = 6          // TCA_BPF_FD
	tcBPFName      = 7          // TCA_BPF_NAME
	tcBPFFlags     = 8          // TCA_BPF_FLAGS
	tcDirectAction = 1          // TCA_BPF_FLAG_ACT_DIRECT
	tcClsact       = 0xfffffff1 // TC_H_CLSACT, the parent of the qdisc
	tcClsactHandle = 0xffff0000
	tcIngress      = 0xfffffff2 // TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)
	tcEgress       = 0xfffffff3
	tcAllProtocols = 0x0003 // ETH_P_ALL
)

// attr is an attribute of a netlink message.
func attr(kind uint16, value []byte) []byte {
	b := make([]byte, 4, 4+len(value)+3)
	binary.NativeEndian.PutUint16(b, uint16(4+len(value)))
	binary.NativeEndian.PutUint16(b[2:], kind)
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

func attrString(kind uint16, s string) []byte { return attr(kind, append([]byte(s), 0)) }

func attrUint32(kind uint16, n uint32) []byte {
	return attr(kind, binary.NativeEndian.AppendUint32(nil, n))
}

// request sends one message to the kernel and waits for its word.
func request(kind, flags uint16, parts ...[]byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	msg := make([]byte, unix.SizeofNlMsghdr)
	for _, p := range parts {
		msg = append(msg, p...)
	}
	binary.NativeEndian.PutUint32(msg, uint32(len(msg)))
	binary.NativeEndian.PutUint16(msg[4:], kind)
	binary.NativeEndian.PutUint16(msg[6:], flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	if err := unix.Sendto(fd, msg, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	n, _, err := unix.Recvfrom(fd, buf, 0)
	if err != nil {
		return err
	}
	// struct nlmsgerr after the header: the number, negative, or 0.
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(buf[4:]) != unix.NLMSG_ERROR {
		return unix.EBADMSG
	}
	if errno := int32(binary.NativeEndian.Uint32(buf[unix.SizeofNlMsghdr:])); errno != 0 {
		return syscall.Errno(-errno)
	}
	return nil
}

// tcmsg is struct tcmsg.
func tcmsg(ifindex int, handle, parent, info uint32) []byte {
	b := make([]byte, 4, 20) // family, padding
	for _, n := range []uint32{uint32(ifindex), handle, parent, info} {
		b = binary.NativeEndian.AppendUint32(b, n)
	}
	return b
}

// attachTC attaches to the traffic of lo: by a link where the kernel has those (Linux 6.6), else by a filter of a clsact
// qdisc, as bpf_tc_hook_create and bpf_tc_attach of libbpf do. Sections that do not say where are for packets that come in.
func (l *Loaded) attachTC(p *Program) (io.Closer, error) {
	at, parent := ebpf.AttachTCXIngress, uint32(tcIngress)
	if p.Target.AttachType == "BPF_TCX_EGRESS" {
		at, parent = ebpf.AttachTCXEgress, tcEgress
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, refuse(err, "looking for lo")
	}
	c, err := link.AttachTCX(link.TCXOptions{Interface: lo.Index, Program: p.Prog, Attach: at})
	if err == nil || !errors.Is(err, link.ErrNotSupported) || strings.HasPrefix(p.Target.Name, "tcx/") {
		return linked(c, err)("lo") // tcx is nothing but the link
	}
	filter, err := attachClsact(p.Prog, lo.Index, parent)
	if err == nil {
		l.notes = append(l.notes, fmt.Sprintf("program %s was attached by a filter of clsact: the kernel has no links for tc", p.Name))
	}
	return filter, err
}

// attachClsact adds a filter to the traffic of a device, below a clsact qdisc that is added, too.
func attachClsact(prog *ebpf.Program, ifindex int, parent uint32) (io.Closer, error) {
	qdisc := tcmsg(ifindex, tcClsactHandle, tcClsact, 0)
	err := request(unix.RTM_NEWQDISC, unix.NLM_F_CREATE|unix.NLM_F_EXCL, qdisc, attrString(tcKind, "clsact"))
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, notAttachable("the kernel has no clsact: module sch_ingress is not inserted")
	case err != nil:
		return nil, refuse(err, "adding a clsact qdisc")
	}
	remove := closeFunc(func() error { return request(unix.RTM_DELQDISC, 0, qdisc) })
	var proto [2]byte
	binary.BigEndian.PutUint16(proto[:], tcAllProtocols) // as it is in packets
	info := uint32(1)<<16 | uint32(binary.NativeEndian.Uint16(proto[:]))
	options := attrUint32(tcBPFFD, uint32(prog.FD()))
	options = append(options, attrString(tcBPFName, "corecheck")...)
	options = append(options, attrUint32(tcBPFFlags, tcDirectAction)...)
	err = request(unix.RTM_NEWTFILTER, unix.NLM_F_CREATE|unix.NLM_F_EXCL,
		tcmsg(ifindex, 0, parent, info), attrString(tcKind, "bpf"), attr(tcOptions, options))
	runtime.KeepAlive(prog)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, errors.Join(notAttachable("the kernel has no filter for BPF: module cls_bpf is not inserted"), remove())
	case err != nil:
		return nil, errors.Join(refuse(err, "adding a filter"), remove())
	}
	return remove, nil
}

// attachNetkitDevice attaches to a fresh pair of netkit devices.
func attachNetkitDevice(p *Program) (io.Closer, error) {
	name := fmt.Sprintf("ccnk%d", os.Getpid())
	info := attr(unix.IFLA_LINKINFO, attrString(unix.IFLA_INFO_KIND, "netkit"))
	err := request(unix.RTM_NEWLINK, unix.NLM_F_CREATE|unix.NLM_F_EXCL, make([]byte, unix.SizeofIfInfomsg), attrString(unix.IFLA_IFNAME, name), info)
	if err != nil {
		return nil, refuse(err, "making a netkit device")
	}
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return nil, refuse(err, "looking for the netkit device %s", name)
	}
	remove := closeFunc(func() error {
		msg := make([]byte, unix.SizeofIfInfomsg)
		binary.NativeEndian.PutUint32(msg[4:], uint32(dev.Index))
		return request(unix.RTM_DELLINK, 0, msg)
	})
	c, err := linked(link.AttachNetkit(link.NetkitOptions{Interface: dev.Index, Program: p.Prog, Attach: p.AttachType}))("a netkit device")
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return closers{remove, c}, nil
}
