package listeners

import (
	"errors"
	"io/fs"
	"os"
	"strconv"
)

// initialNamespaceOnly is a setting of the network that the kernel shows in the machine's first network namespace and
// in no other.
const initialNamespaceOnly = "/sys/net/core/netdev_max_backlog"

// namespace answers whether the network namespace is the child's alone. Nothing that it looks at changes while cleat
// runs, except who else is there; a "docker exec" must not change the answer, so it is given once.
type namespace struct {
	tree  *tree
	asked bool
	alone bool
}

// OwnNamespace reports whether this process is alone in its network namespace as far as can be told (so that
// listeners of unknown owner are the child's). It is false in the machine's first network namespace ("--network
// host") and where a process that is neither above nor below the init stage is seen in the same namespace. Containers
// that share a namespace without seeing each other's processes (a Kubernetes pod) cannot be told from one that is
// alone. The first answer is kept.
func (r *Reader) OwnNamespace() bool {
	n := &r.namespace
	if !n.asked {
		n.asked = true
		n.alone = n.look()
	}
	return n.alone
}

func (n *namespace) look() bool {
	if _, err := os.Stat(n.tree.proc + initialNamespaceOnly); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	if n.tree.root == 1 {
		// An own PID namespace: whoever else is seen in it came by "docker exec" and goes again.
		return true
	}
	ours, err := n.link("self")
	if err != nil {
		return false
	}
	children, _ := n.tree.processes()
	parents := make(map[int]int)
	for parent, pids := range children {
		for _, pid := range pids {
			parents[pid] = parent
		}
	}
	// Those above only wait for us (a shell, "docker run --init").
	above := make(map[int]bool)
	for pid := n.tree.root; pid != 0 && !above[pid]; pid = parents[pid] {
		above[pid] = true
	}
	for pid := range parents {
		if above[pid] || n.below(pid, parents) {
			continue
		}
		if theirs, err := n.link(strconv.Itoa(pid)); err == nil && theirs == ours {
			return false
		}
	}
	return true
}

// below reports whether pid is a descendant of the init stage.
func (n *namespace) below(pid int, parents map[int]int) bool {
	for steps := 0; pid != 0 && steps <= len(parents); steps++ {
		if pid == n.tree.root {
			return true
		}
		pid = parents[pid]
	}
	return false
}

// link names the network namespace of a process.
func (n *namespace) link(process string) (string, error) {
	return os.Readlink(n.tree.proc + "/" + process + "/ns/net")
}
