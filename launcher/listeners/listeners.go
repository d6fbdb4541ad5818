package listeners

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sort"

	"golang.org/x/sys/unix"
)

// Listener is one address on which somebody waits for peers: a TCP socket in state LISTEN, or a bound UDP socket
// without a peer.
type Listener struct {
	// Addr is the address that the socket is bound to; unspecified means all addresses of its family. IPv4-mapped
	// addresses are unmapped. A socket bound to [::] without IPV6_V6ONLY serves IPv4 too and is given as two listeners,
	// :: and 0.0.0.0.
	Addr  netip.Addr
	Port  uint16
	UDP   bool
	Owner Owner
}

// Owner tells whose a listener is.
type Owner int

const (
	// Unknown: /proc does not tell (another uid, without the capability to look).
	Unknown Owner = iota
	// Beside: a process that runs beside the child, and no other.
	Beside
	// Child: any other process below cleat's init stage, cleat itself excepted.
	Child
)

// String is for logs and tests.
func (o Owner) String() string {
	switch o {
	case Child:
		return "child"
	case Beside:
		return "beside"
	}
	return "unknown"
}

// dockerResolver is where Docker serves names inside the network namespace of a container on a network made by a
// user. The process behind it is outside the container, so /proc never tells its owner.
var dockerResolver = netip.AddrFrom4([4]byte{127, 0, 0, 11})

// Reader reads the listeners of this network namespace that are not cleat's and not known to be somebody else's.
// Not safe for concurrent use.
type Reader struct {
	source source
	tree   *tree
	owners owners

	namespace namespace

	sockets []socket // of the last Read; kept for its memory
}

// New makes a reader. root is the pid of the init stage (its descendants are the child's tree), own are cleat's own
// pids; root is one of them whether or not it is named. New opens nothing; the first Read does.
func New(root int, own ...int) *Reader {
	if !slices.Contains(own, root) {
		own = append(slices.Clone(own), root)
	}
	t := &tree{proc: procPath, root: root, own: own}
	return &Reader{
		source:    &diag{},
		tree:      t,
		owners:    owners{},
		namespace: namespace{tree: t},
	}
}

// Read returns the listeners, sorted by protocol (TCP first), port, address. wantUDP asks for UDP sockets as well.
// Sockets that share address, port and protocol (SO_REUSEPORT) are one listener, the child's if any of them is.
// beside are the pids of what runs beside the child: it is told from the child, with all that descends from it or is
// in its process group.
//
// An error means that nothing was learnt; it says nothing about the listeners.
func (r *Reader) Read(wantUDP bool, beside []int) ([]Listener, error) {
	if err := r.read(wantUDP); err != nil {
		return nil, err
	}
	if r.owners.vanished(r.sockets, wantUDP) {
		// A dump of several parts can pass over a socket while others of its hash bucket close. What was there before
		// is gone when two dumps in a row say so.
		first := slices.Clone(r.sockets)
		if err := r.read(wantUDP); err != nil {
			return nil, err
		}
		r.sockets = union(r.sockets, first)
	}
	r.tree.beside = beside
	r.owners.settle(r.sockets, wantUDP, r.tree)
	return r.listeners(), nil
}

// Close closes the socket to the kernel. The reader may be used again: the next Read opens another.
func (r *Reader) Close() error { return r.source.close() }

// read fills r.sockets from the source, and goes over to /proc/net for good where netlink is forbidden.
func (r *Reader) read(wantUDP bool) error {
	var err error
	r.sockets, err = r.source.read(r.sockets[:0], wantUDP)
	if _, viaNetlink := r.source.(*diag); viaNetlink && forbidden(err) {
		_ = r.source.close()
		r.source = &procNet{root: procPath}
		r.sockets, err = r.source.read(r.sockets[:0], wantUDP)
	}
	if err != nil {
		return fmt.Errorf("read listening sockets: %w", err)
	}
	return nil
}

// forbidden tells a kernel or a sandbox that will never answer from a fault of the moment.
func forbidden(err error) bool {
	for _, never := range []error{
		unix.EPERM, unix.EACCES, // seccomp, LSM
		unix.ENOSYS, unix.EAFNOSUPPORT, unix.EPROTONOSUPPORT, unix.EOPNOTSUPP, // gVisor, a kernel without netlink
		unix.ENOENT, unix.EINVAL, // no module tcp_diag or udp_diag
	} {
		if errors.Is(err, never) {
			return true
		}
	}
	return false
}

// listeners turns sockets into what the caller may see.
func (r *Reader) listeners() []Listener {
	list := make([]Listener, 0, len(r.sockets))
	for _, s := range r.sockets {
		var owner Owner
		switch r.owners.of(s) {
		case ofChild:
			owner = Child
		case ofBeside:
			owner = Beside
		case unreadable:
			if s.addr == dockerResolver {
				continue
			}
			owner = Unknown
		default:
			continue
		}
		l := Listener{Addr: s.addr, Port: s.port, UDP: s.udp, Owner: owner}
		list = append(list, l)
		if s.addr == netip.IPv6Unspecified() && !s.v6only {
			l.Addr = netip.IPv4Unspecified()
			list = append(list, l)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		a, b := list[i], list[j]
		return cmp.Or(compareBool(a.UDP, b.UDP), cmp.Compare(a.Port, b.Port), a.Addr.Compare(b.Addr),
			-cmp.Compare(a.Owner, b.Owner)) < 0 // the child's first, so that it is the one kept below
	})
	return slices.CompactFunc(list, func(a, b Listener) bool {
		return a.UDP == b.UDP && a.Port == b.Port && a.Addr == b.Addr
	})
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
