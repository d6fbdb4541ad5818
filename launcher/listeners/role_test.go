package listeners

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// roleEnv makes the test binary play a part instead of running tests. Its value is a line of words: the first is the
// part, the rest its arguments. All processes of a scene share stdin and end when the test closes it; what listens
// says so on stdout.
//
//	serve NETWORK ADDRESS...   listen on each address ("tcp4 127.0.0.1:0", "udp6 [::1]:0", "tcp6only [::]:0", ...)
//	reuse PORT                 listen on 127.0.0.1:PORT with SO_REUSEPORT
//	parent ROLE...             start ROLE and stay
//	orphan ROLE...             start ROLE in a session of its own and end
//	init ROLE...               be a subreaper, start ROLE and stay
//	stay                       do nothing
//	weak ROLE...               give up the capabilities that look into others' processes, then be ROLE
//	nonetlink ROLE...          have netlink forbidden by seccomp, then be ROLE
//	read UID ROLE...           be an init stage: start ROLE with that uid, and print what a Reader says
const roleEnv = "CLEAT_LISTENERS_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleEnv)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := play(strings.Fields(role)); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
}

func play(words []string) error {
	part, args := words[0], words[1:]
	switch part {
	case "serve":
		if err := serve(args); err != nil {
			return err
		}
	case "reuse":
		if err := reuse(args[0]); err != nil {
			return err
		}
	case "parent":
		if err := startRole(args, nil).Start(); err != nil {
			return err
		}
	case "orphan":
		return startRole(args, &syscall.SysProcAttr{Setsid: true}).Start()
	case "init":
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return err
		}
		if err := startRole(args, nil).Start(); err != nil {
			return err
		}
	case "stay":
	case "weak":
		return weak(args)
	case "nonetlink":
		return noNetlink(args)
	case "read":
		return read(args)
	default:
		return fmt.Errorf("no role %q", part)
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

func startRole(words []string, attr *syscall.SysProcAttr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	// The race detector would sleep for a second at the end of each process.
	cmd.Env = append(os.Environ(), roleEnv+"="+strings.Join(words, " "), "GORACE=atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = attr
	return cmd
}

// keep holds what a role listens on, so that no finalizer closes it.
var keep []any

func serve(args []string) error {
	for pair := range slices.Chunk(args, 2) {
		network, address := pair[0], pair[1]
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, address)
			if err != nil {
				return err
			}
			keep = append(keep, c)
			fmt.Println("listening", os.Getpid(), c.LocalAddr())
			continue
		}
		var config net.ListenConfig
		if plain, only := strings.CutSuffix(network, "only"); only {
			network = plain
			config.Control = option(unix.IPPROTO_IPV6, unix.IPV6_V6ONLY)
		}
		l, err := config.Listen(context.Background(), network, address)
		if err != nil {
			return err
		}
		keep = append(keep, l)
		fmt.Println("listening", os.Getpid(), l.Addr())
	}
	return nil
}

func reuse(port string) error {
	config := net.ListenConfig{Control: option(unix.SOL_SOCKET, unix.SO_REUSEPORT)}
	l, err := config.Listen(context.Background(), "tcp4", "127.0.0.1:"+port)
	if err != nil {
		return err
	}
	keep = append(keep, l)
	fmt.Println("listening", os.Getpid(), l.Addr())
	return nil
}

func option(level, name int) func(string, string, syscall.RawConn) error {
	return func(_, _ string, c syscall.RawConn) error {
		var set error
		return cmpErr(c.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), level, name, 1) }), set)
	}
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// weak drops what root has over others' processes, as Docker does by default, and executes the rest anew: a root
// process has after an exec what its bounding set leaves.
func weak(args []string) error {
	runtime.LockOSThread()
	for _, capability := range []uintptr{unix.CAP_SYS_PTRACE, unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH} {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
			return err
		}
	}
	return become(args)
}

func become(args []string) error {
	env := append(os.Environ(), roleEnv+"="+strings.Join(args, " "))
	return syscall.Exec("/proc/self/exe", os.Args, dedup(env))
}

// dedup keeps the last of each variable, which execve does not do.
func dedup(env []string) []string { return (&exec.Cmd{Env: env}).Environ() }

// noNetlink installs a seccomp filter that answers EPERM to socket(AF_NETLINK, ...).
func noNetlink(args []string) error {
	const offsetNumber, offsetArgument = 0, 16 // in struct seccomp_data; the low half of an argument on little endian
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetNumber},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_SOCKET, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetArgument},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.AF_NETLINK, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0,
		uintptr(unsafe.Pointer(&program))); errno != 0 {
		return errno
	}
	return become(args)
}

// answer is what the role "read" prints.
type answer struct {
	Listeners    []Listener
	OwnNamespace bool
	Source       string
	Walked       bool // the second Read looked into processes again
}

func read(args []string) error {
	uid, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return err
	}
	attr := &syscall.SysProcAttr{}
	if int(uid) != os.Getuid() {
		attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
	}
	child := startRole(args[1:], attr)
	child.Stdout = nil
	out, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return err
	}
	fmt.Print(said)
	r := New(os.Getpid())
	var list []Listener
	for range 2 {
		if list, err = r.Read(true, nil); err != nil {
			return err
		}
	}
	r.tree.proc = "/nonexistent" // a walk would now lose what is known
	again, err := r.Read(true, nil)
	if err != nil {
		return err
	}
	r.tree.proc = procPath
	line, err := json.Marshal(answer{list, r.OwnNamespace(), fmt.Sprintf("%T", r.source), !slices.Equal(list, again)})
	if err != nil {
		return err
	}
	fmt.Println("answer", string(line))
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// scene is a tree of role-playing processes.
type scene struct {
	t   *testing.T
	cmd *exec.Cmd
	out *bufio.Scanner
}

// patience is how long a process of a scene may take to say something.
const patience = 20 * time.Second

func start(t *testing.T, attr *syscall.SysProcAttr, role ...string) *scene {
	t.Helper()
	cmd := startRole(strings.Fields(strings.Join(role, " ")), attr)
	cmd.Stdin, cmd.Stdout = nil, nil
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(patience, func() { _ = out.Close() })
	t.Cleanup(func() {
		overdue.Stop()
		_ = in.Close() // ends them all
		_ = cmd.Wait()
	})
	return &scene{t: t, cmd: cmd, out: bufio.NewScanner(out)}
}

func (s *scene) pid() int { return s.cmd.Process.Pid }

// listening waits for the next listener and returns who it is and where.
func (s *scene) listening() (pid int, at netip.AddrPort) {
	s.t.Helper()
	words := strings.Fields(s.line())
	if len(words) != 3 || words[0] != "listening" {
		s.t.Fatalf("process said %q, expected listening PID ADDRESS", words)
	}
	pid, err := strconv.Atoi(words[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return pid, netip.MustParseAddrPort(words[2])
}

func (s *scene) answer() (a answer) {
	s.t.Helper()
	text, ok := strings.CutPrefix(s.line(), "answer ")
	if !ok {
		s.t.Fatalf("process said %q, expected answer JSON", text)
	}
	if err := json.Unmarshal([]byte(text), &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *scene) line() string {
	s.t.Helper()
	if !s.out.Scan() {
		s.t.Fatalf("process said nothing more: %v", s.out.Err())
	}
	return s.out.Text()
}
