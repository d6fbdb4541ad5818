package listeners

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// sources runs a test with both ways to the kernel.
func sources(t *testing.T, test func(t *testing.T, open func(root int, own ...int) *Reader)) {
	t.Run("netlink", func(t *testing.T) {
		test(t, func(root int, own ...int) *Reader {
			r := New(root, own...)
			t.Cleanup(func() {
				if _, ok := r.source.(*diag); !ok {
					t.Errorf("reader went over to %T on a machine with netlink", r.source)
				}
				if err := r.Close(); err != nil {
					t.Error(err)
				}
			})
			return r
		})
	})
	t.Run("procnet", func(t *testing.T) {
		test(t, func(root int, own ...int) *Reader {
			r := New(root, own...)
			r.source = &procNet{root: procPath}
			return r
		})
	})
}

// onPort reads until two answers agree, since what nobody holds is left out only after a second look, and returns
// what is on the port.
func onPort(t *testing.T, r *Reader, port uint16, udp bool) []Listener {
	t.Helper()
	if _, err := r.Read(true, nil); err != nil {
		t.Fatal(err)
	}
	all, err := r.Read(true, nil)
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(l Listener) bool { return l.Port != port || l.UDP != udp })
}

func TestAddresses(t *testing.T) {
	cases := []struct {
		network, address string
		udp              bool
		want             []string
	}{
		{"tcp4", "127.0.0.1:0", false, []string{"127.0.0.1"}},
		{"tcp4", "127.1.2.3:0", false, []string{"127.1.2.3"}},
		{"tcp4", "0.0.0.0:0", false, []string{"0.0.0.0"}},
		{"tcp6", "[::1]:0", false, []string{"::1"}},
		{"tcp", "[::]:0", false, []string{"0.0.0.0", "::"}},
		{"tcp6only", "[::]:0", false, []string{"::"}},
		{"udp4", "127.0.0.1:0", true, []string{"127.0.0.1"}},
		{"udp6", "[::1]:0", true, []string{"::1"}},
		{"udp", "[::]:0", true, []string{"0.0.0.0", "::"}},
	}
	for _, c := range cases {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
				s := start(t, nil, "serve", c.network, c.address)
				_, at := s.listening()
				r := open(os.Getpid())
				want := c.want
				if _, proc := r.source.(*procNet); proc && c.network == "tcp6only" {
					want = []string{"0.0.0.0", "::"} // the table does not tell
				}
				var got []string
				for _, l := range onPort(t, r, at.Port(), c.udp) {
					if l.Owner != Child {
						t.Errorf("owner of %v is %v, expected %v", l.Addr, l.Owner, Child)
					}
					got = append(got, l.Addr.String())
				}
				if !slices.Equal(got, want) {
					t.Errorf("addresses %v, expected %v", got, want)
				}
				if other := onPort(t, r, at.Port(), !c.udp); len(other) > 0 {
					t.Errorf("other protocol has %v on the same port", other)
				}
			})
		})
	}
}

// TestMapped binds an IPv6 socket to an IPv4 address, as Java does.
func TestMapped(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		s := start(t, nil, "serve tcp4 127.0.0.1:0") // for a child to be there
		s.listening()
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Close(fd) }()
		mapped := netip.MustParseAddr("::ffff:127.0.0.1").As16()
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: mapped}); err != nil {
			t.Fatal(err)
		}
		if err := unix.Listen(fd, 1); err != nil {
			t.Fatal(err)
		}
		name, err := unix.Getsockname(fd)
		if err != nil {
			t.Fatal(err)
		}
		port := uint16(name.(*unix.SockaddrInet6).Port)
		r := open(os.Getpid())
		if err := r.read(false); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(r.sockets, func(s socket) bool { return s.port == port })
		if i < 0 || r.sockets[i].addr != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("socket not found with its unmapped address: %v", r.sockets)
		}
	})
}

func TestUDPOnlyWhenAsked(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		s := start(t, nil, "serve udp4 127.0.0.1:0")
		_, at := s.listening()
		r := open(os.Getpid())
		if got := onPort(t, r, at.Port(), true); len(got) != 1 {
			t.Fatalf("asked for UDP: %v, expected one", got)
		}
		list, err := r.Read(false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(l Listener) bool { return l.UDP }) {
			t.Errorf("not asked for UDP: %v", list)
		}
	})
}

// TestConnectedIsNoListener holds connections open and looks for their ends.
func TestConnectedIsNoListener(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		s := start(t, nil, "serve tcp4 127.0.0.1:0")
		_, at := s.listening()
		c, err := net.Dial("tcp4", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		u, err := net.Dial("udp4", at.String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = u.Close() }()
		r := open(os.Getpid())
		if err := r.read(true); err != nil {
			t.Fatal(err)
		}
		for _, local := range []net.Addr{c.LocalAddr(), u.LocalAddr()} {
			port := netip.MustParseAddrPort(local.String()).Port()
			udp := local.Network() == "udp"
			if slices.ContainsFunc(r.sockets, func(s socket) bool { return s.port == port && s.udp == udp }) {
				t.Errorf("connected socket %v is taken for a listener", local)
			}
		}
	})
}

func TestOwners(t *testing.T) {
	cases := map[string][]string{
		"child":                 {"init", "serve tcp4 127.0.0.1:0"},
		"grandchild":            {"init", "parent", "serve tcp4 127.0.0.1:0"},
		"orphan":                {"init", "orphan", "serve tcp4 127.0.0.1:0"},
		"orphan's child":        {"init", "orphan", "parent", "serve tcp4 127.0.0.1:0"},
		"below another reaper":  {"init", "init", "orphan", "serve tcp4 127.0.0.1:0"},
		"below a stage of ours": {"init", "parent", "parent", "serve tcp4 127.0.0.1:0"},
	}
	for name, role := range cases {
		t.Run(name, func(t *testing.T) {
			sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
				s := start(t, nil, role...)
				_, at := s.listening()
				other := start(t, nil, "serve tcp4 127.0.0.1:0")
				_, elsewhere := other.listening()
				mine, err := net.Listen("tcp4", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = mine.Close() }()

				r := open(s.pid(), os.Getpid())
				want := []Listener{{Addr: at.Addr(), Port: at.Port(), Owner: Child}}
				if got := onPort(t, r, at.Port(), false); !slices.Equal(got, want) {
					t.Errorf("the tree's listener: %v, expected %v", got, want)
				}
				if got := onPort(t, r, elsewhere.Port(), false); len(got) > 0 {
					t.Errorf("listener of a process outside the tree: %v", got)
				}
				own := netip.MustParseAddrPort(mine.Addr().String()).Port()
				if got := onPort(t, r, own, false); len(got) > 0 {
					t.Errorf("cleat's own listener: %v", got)
				}
			})
		})
	}
}

// TestOthersNeverListed makes sure that a listener outside the tree is not shown even before it is confirmed.
func TestOthersNeverListed(t *testing.T) {
	other := start(t, nil, "serve tcp4 127.0.0.1:0")
	_, at := other.listening()
	s := start(t, nil, "init", "serve tcp4 127.0.0.1:0")
	s.listening()
	r := New(s.pid())
	defer func() { _ = r.Close() }()
	for range 3 {
		list, err := r.Read(false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(list, func(l Listener) bool { return l.Port == at.Port() }) {
			t.Fatalf("listener of a process outside the tree: %v", list)
		}
	}
}

func TestSharedPort(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		// A sibling outside the tree, with the port first; two within.
		other := start(t, nil, "reuse 0")
		_, at := other.listening()
		port := fmt.Sprint(at.Port())
		s := start(t, nil, "init", "parent", "reuse", port)
		first, _ := s.listening()
		r := open(s.pid())
		want := []Listener{{Addr: at.Addr(), Port: at.Port(), Owner: Child}}
		if got := onPort(t, r, at.Port(), false); !slices.Equal(got, want) {
			t.Errorf("one inside, one outside: %v, expected %v", got, want)
		}
		// The one inside goes: what is left is somebody else's.
		if err := unix.Kill(first, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(patience)
		for len(onPort(t, r, at.Port(), false)) > 0 {
			if time.Now().After(deadline) {
				t.Fatal("listener of a dead process is still listed")
			}
		}
	})
}

// TestInheritedListener is socket activation: cleat holds a listener that it was given, without close-on-exec, for
// the child to take.
func TestInheritedListener(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		port := netip.MustParseAddrPort(l.Addr().String()).Port()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()

		// Close-on-exec, the mark of what cleat opened itself, goes off all descriptors of it.
		raw, err := l.(*net.TCPListener).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		inherit := func(fd uintptr) {
			if _, err := unix.FcntlInt(fd, unix.F_SETFD, 0); err != nil {
				t.Error(err)
			}
		}
		if err := raw.Control(inherit); err != nil {
			t.Fatal(err)
		}
		inherit(f.Fd())

		r := open(os.Getpid())
		if got := onPort(t, r, port, false); len(got) > 0 {
			t.Errorf("nobody below holds it, and yet %v", got)
		}
		s := start(t, nil, "serve tcp4 127.0.0.1:0") // gets the open descriptor as well
		s.listening()
		want := []Listener{{Addr: netip.MustParseAddr("127.0.0.1"), Port: port, Owner: Child}}
		if got := onPort(t, r, port, false); !slices.Equal(got, want) {
			t.Errorf("a child has taken it: %v, expected %v", got, want)
		}
	})
}

// TestSteadyStateLooksAtNoProcess takes /proc away once everything is known.
func TestSteadyStateLooksAtNoProcess(t *testing.T) {
	s := start(t, nil, "init", "serve tcp4 127.0.0.1:0")
	_, at := s.listening()
	r := New(s.pid(), os.Getpid())
	defer func() { _ = r.Close() }()
	want := onPort(t, r, at.Port(), false)
	if len(want) != 1 || want[0].Owner != Child {
		t.Fatalf("before: %v", want)
	}
	r.tree.proc = "/nonexistent"
	if got := onPort(t, r, at.Port(), false); !slices.Equal(got, want) {
		t.Errorf("with /proc taken away: %v, expected %v", got, want)
	}
	// A new socket cannot be placed now, and is not taken for nobody's.
	_, next := start(t, nil, "serve tcp4 127.0.0.1:0").listening()
	if got := onPort(t, r, next.Port(), false); len(got) != 1 || got[0].Owner != Unknown {
		t.Errorf("new listener without /proc: %v, expected one of unknown owner", got)
	}
	if got := onPort(t, r, at.Port(), false); !slices.Equal(got, want) {
		t.Errorf("known listener after a failed look: %v, expected %v", got, want)
	}
}

func TestForgetsClosed(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		r := open(os.Getpid())
		before := func() int {
			if _, err := r.Read(true, nil); err != nil {
				t.Fatal(err)
			}
			return len(r.owners)
		}
		before()
		for range 5 {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := netip.MustParseAddrPort(l.Addr().String()).Port()
			if err := r.read(false); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(r.sockets, func(s socket) bool { return s.port == port })
			if i < 0 {
				t.Fatalf("listener on port %d not seen", port)
			}
			inode := r.sockets[i].inode
			before()
			if _, ok := r.owners[inode]; !ok {
				t.Fatal("open socket not remembered")
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			before()
			if _, ok := r.owners[inode]; ok {
				t.Fatal("closed socket still remembered")
			}
		}
	})
}

func TestNetlinkForbidden(t *testing.T) {
	s := start(t, nil, "nonetlink", "read", fmt.Sprint(os.Getuid()), "serve tcp 127.0.0.1:0")
	_, at := s.listening()
	got := s.answer()
	if got.Source != "*listeners.procNet" {
		t.Errorf("source is %s, expected *listeners.procNet", got.Source)
	}
	if want := (Listener{Addr: at.Addr(), Port: at.Port(), Owner: Child}); !slices.Contains(got.Listeners, want) {
		t.Errorf("listeners %v, expected %v among them", got.Listeners, want)
	}
}

// TestUnreadable is a container with Docker's default capabilities and a child of another uid: root without
// CAP_SYS_PTRACE, and without a way around file modes.
func TestUnreadable(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to start a child with another uid")
	}
	const nobody = "65534"
	alone := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	for _, prefix := range []string{"weak", "weak nonetlink"} {
		t.Run(prefix, func(t *testing.T) {
			s := start(t, alone, prefix, "read", nobody, "serve tcp4 0.0.0.0:0")
			_, at := s.listening()
			got := s.answer()
			want := []Listener{{Addr: at.Addr(), Port: at.Port(), Owner: Unknown}}
			if !slices.Equal(got.Listeners, want) {
				t.Errorf("listeners %v, expected %v", got.Listeners, want)
			}
			if !got.OwnNamespace {
				t.Error("alone in a new network namespace, and yet not an own one")
			}
			if got.Walked {
				t.Error("an unreadable owner was looked for again")
			}
		})
	}
	t.Run("with the capability", func(t *testing.T) {
		s := start(t, alone, "read", nobody, "serve tcp4 0.0.0.0:0")
		_, at := s.listening()
		want := []Listener{{Addr: at.Addr(), Port: at.Port(), Owner: Child}}
		if got := s.answer(); !slices.Equal(got.Listeners, want) {
			t.Errorf("listeners %v, expected %v", got.Listeners, want)
		}
	})
}

// TestDockerResolver puts a listener of unknown owner where Docker has its resolver.
func TestDockerResolver(t *testing.T) {
	r := New(os.Getpid())
	r.sockets = []socket{
		{inode: 1, addr: dockerResolver, port: 40001},
		{inode: 2, addr: netip.MustParseAddr("127.0.0.1"), port: 40002},
		{inode: 0, addr: netip.IPv4Unspecified(), port: 40003},
		{inode: 3, addr: dockerResolver, port: 40004},
	}
	r.owners = owners{1: {verdict: unreadable}, 2: {verdict: unreadable}, 3: {verdict: ofChild}}
	want := []Listener{
		{Addr: netip.MustParseAddr("127.0.0.1"), Port: 40002},
		{Addr: netip.IPv4Unspecified(), Port: 40003},
		{Addr: dockerResolver, Port: 40004, Owner: Child},
	}
	if got := r.listeners(); !slices.Equal(got, want) {
		t.Errorf("got %v, expected %v", got, want)
	}
}

func TestOwnNamespace(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to make a network namespace")
	}
	alone := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	t.Run("alone", func(t *testing.T) {
		s := start(t, alone, "read 0 serve tcp4 0.0.0.0:0")
		s.listening()
		if !s.answer().OwnNamespace {
			t.Error("not an own namespace")
		}
	})
	t.Run("below a wrapper", func(t *testing.T) {
		s := start(t, alone, "parent read 0 serve tcp4 0.0.0.0:0")
		s.listening()
		if !s.answer().OwnNamespace {
			t.Error("not an own namespace because of the process above")
		}
	})
	t.Run("with a neighbour", func(t *testing.T) {
		s := start(t, alone, "serve tcp4 127.0.0.1:0")
		s.listening()
		r := New(os.Getpid())
		r.tree.root = 1 << 30 // nobody's ancestor
		link, err := r.namespace.link("self")
		if err != nil {
			t.Fatal(err)
		}
		neighbour, err := r.namespace.link(fmt.Sprint(s.pid()))
		if err != nil {
			t.Fatal(err)
		}
		if link == neighbour {
			t.Fatal("the process is not in another namespace")
		}
		if r.OwnNamespace() {
			t.Error("own namespace in spite of this process beside it")
		}
	})
}

func TestReopens(t *testing.T) {
	r := New(os.Getpid())
	for range 2 {
		if _, err := r.Read(false, nil); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for _, count := range []int{5, 1000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			for range count {
				l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp4", "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = l.Close() }()
			}
			for _, source := range []source{&diag{}, &procNet{root: procPath}} {
				b.Run(fmt.Sprintf("%T", source)[len("*listeners."):], func(b *testing.B) {
					r := New(os.Getpid())
					r.source = source
					defer func() { _ = r.Close() }()
					for range 3 { // until all are settled
						if _, err := r.Read(false, nil); err != nil {
							b.Fatal(err)
						}
					}
					b.ReportAllocs()
					for b.Loop() {
						if _, err := r.Read(false, nil); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		})
	}
}

// TestBeside tells what runs beside the child from the child: by its pid, with its children and with the orphans in its
// group.
func TestBeside(t *testing.T) {
	sources(t, func(t *testing.T, open func(int, ...int) *Reader) {
		beside := start(t, &syscall.SysProcAttr{Setpgid: true}, "parent", "serve tcp4 127.0.0.1:0")
		_, besideAt := beside.listening()
		child := start(t, nil, "serve tcp4 127.0.0.1:0")
		_, childAt := child.listening()
		r := open(os.Getpid())
		for _, test := range []struct {
			beside []int
			want   Owner
		}{{[]int{beside.pid()}, Beside}, {nil, Beside}} { // what is known of a socket stays
			list, err := r.Read(false, test.beside)
			if err != nil {
				t.Fatal(err)
			}
			for at, want := range map[netip.AddrPort]Owner{besideAt: test.want, childAt: Child} {
				i := slices.IndexFunc(list, func(l Listener) bool { return l.Port == at.Port() })
				if i < 0 || list[i].Owner != want {
					t.Errorf("%v of %v, expected owner %v", at, list, want)
				}
			}
		}
		// By group alone, as an orphan is: the leader is not its ancestor.
		grouped := start(t, &syscall.SysProcAttr{Setpgid: true, Pgid: beside.pid()}, "serve tcp4 127.0.0.1:0")
		_, at := grouped.listening()
		list, err := r.Read(false, []int{beside.pid()})
		if err != nil {
			t.Fatal(err)
		}
		if i := slices.IndexFunc(list, func(l Listener) bool { return l.Port == at.Port() }); i < 0 || list[i].Owner != Beside {
			t.Errorf("%v of %v, expected owner %v", at, list, Beside)
		}
	})
}
