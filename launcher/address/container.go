package address

import (
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

const (
	// maxProcFile is how many bytes of a file in /proc are read; a container
	// with very many mounts has some 100 KB of mountinfo.
	maxProcFile = 1 << 20
	// maxIDs is how many ids are tried with the engine.
	maxIDs = 4
)

// fullID is a container's whole id within a path. In mountinfo it is in the
// sources of the files that the engine lays into /etc (Docker:
// .../containers/ID/hostname, Podman: .../overlay-containers/ID/userdata/hosts);
// in cgroup at the end (/docker/ID, docker-ID.scope), unless the container has a
// namespace of cgroups.
var (
	mountedID = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`containers/([0-9a-f]{64})/(?:userdata/)?(?:hostname|hosts|resolv\.conf)\b`)
	})
	cgroupID = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[/-]([0-9a-f]{64})(?:\.scope)?(?:/|$)`) })
	shortID  = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[0-9a-f]{12}([0-9a-f]{52})?$`) })
)

// containerIDs returns what may be this container's id, the surest first.
func containerIDs() []string {
	hostname, _ := os.Hostname()
	return idsFrom(readProc("/proc/self/mountinfo"), readProc("/proc/self/cgroup"), hostname)
}

func idsFrom(mountinfo, cgroup, hostname string) []string {
	var ids []string
	add := func(id string) {
		if len(ids) < maxIDs && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for line := range strings.Lines(mountinfo) {
		// The fourth field is the source's path, the fifth where it is mounted:
		// other containers' files, mounted elsewhere, say nothing.
		fields := strings.Fields(line)
		if len(fields) < 5 || !slices.Contains([]string{"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"}, fields[4]) {
			continue
		}
		if found := mountedID().FindStringSubmatch(fields[3]); found != nil {
			add(found[1])
		}
	}
	for line := range strings.Lines(cgroup) {
		if found := cgroupID().FindStringSubmatch(strings.TrimSpace(line)); found != nil {
			add(found[1])
		}
	}
	if shortID().MatchString(hostname) {
		add(hostname)
	}
	return ids
}

// defaultGateway returns the IPv4 gateway of the default route; on a bridge of
// the engine that is the host. Invalid: there is none.
func defaultGateway() netip.Addr { return gatewayIn(readProc("/proc/self/net/route")) }

// gatewayIn finds the gateway in the kernel's table of routes: interface,
// destination, gateway, flags, three counts, mask; addresses as the hexadecimal
// digits of the machine's own byte order.
func gatewayIn(table string) netip.Addr {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) < 8 || fields[1] != "00000000" || fields[7] != "00000000" || fields[2] == "00000000" {
			continue
		}
		raw, err := hex.DecodeString(fields[2])
		if err != nil || len(raw) != 4 {
			continue
		}
		var bytes [4]byte
		binary.NativeEndian.PutUint32(bytes[:], binary.BigEndian.Uint32(raw))
		return netip.AddrFrom4(bytes)
	}
	return netip.Addr{}
}

// readProc reads a file of the kernel's; empty when it cannot be read.
func readProc(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, _ := io.ReadAll(io.LimitReader(f, maxProcFile))
	return string(text)
}
