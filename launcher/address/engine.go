package address

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// engineSocket is where the engine is asked unless DOCKER_HOST says
	// otherwise.
	engineSocket = "/var/run/docker.sock"
	// engineTime bounds all that is asked of the engine together. It holds its
	// answer back until the container's start is through, which takes seconds
	// where many start at once.
	engineTime = 3 * time.Second
	// maxAnswer is the size in bytes of the largest answer that is read. What
	// an engine tells of one container is some 10 KB.
	maxAnswer = 4 << 20
	// maxEngineHeader is the size in bytes of the largest header.
	maxEngineHeader = 64 << 10
	// maxBindings is how many published ports are taken from an answer.
	maxBindings = 4096
)

// errNoContainer is the engine's answer to an id that is not one of its
// containers'.
var errNoContainer = errors.New("the engine has no such container")

// socketOf returns the path of the engine's socket.
func socketOf(q Query) (string, error) {
	var host string
	if q.Env != nil {
		host, _ = q.Env("DOCKER_HOST")
	}
	if host == "" {
		return engineSocket, nil
	}
	path, ok := strings.CutPrefix(host, "unix://")
	if !ok || !strings.HasPrefix(path, "/") {
		return "", errors.New("DOCKER_HOST is no unix socket; expected unix:///path")
	}
	return path, nil
}

// inspect asks the engine (Docker, or Podman, whose API is the same) where it
// has published the ports of this container.
func inspect(ctx context.Context, q Query, m machine) (map[Port][]netip.AddrPort, error) {
	socket, err := socketOf(q)
	if err != nil {
		return nil, err
	}
	ids := m.ids()
	if len(ids) == 0 {
		return nil, errors.New("this container's id cannot be told from /proc/self/mountinfo, /proc/self/cgroup or the hostname")
	}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return m.dial(ctx, "unix", socket)
		},
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxEngineHeader,
	}
	client := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for _, id := range ids {
		var all map[Port][]netip.AddrPort
		if all, err = inspectOne(ctx, client, id); err == nil {
			return all, nil
		}
		if !errors.Is(err, errNoContainer) {
			break
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: no answer within %v", socket, engineTime)
	}
	return nil, fmt.Errorf("%s: %w", socket, err)
}

func inspectOne(ctx context.Context, client *http.Client, id string) (map[Port][]netip.AddrPort, error) {
	// The version of the API is left out: the engine takes its own. The host is
	// that of no machine.
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/containers/"+id+"/json", nil)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		if in, ok := errors.AsType[*url.Error](err); ok {
			err = in.Err // the made-up address says nothing
		}
		return nil, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNoContainer
	default:
		return nil, fmt.Errorf("the engine answered %d", response.StatusCode)
	}
	var told struct {
		NetworkSettings struct {
			Ports map[string][]struct{ HostIp, HostPort string } // the API's names
		}
	}
	body := &io.LimitedReader{R: response.Body, N: maxAnswer}
	if err := json.NewDecoder(body).Decode(&told); err != nil {
		if body.N <= 0 {
			return nil, fmt.Errorf("the engine's answer has more than %d bytes", maxAnswer)
		}
		return nil, fmt.Errorf("the engine's answer cannot be read: %w", err)
	}
	all := make(map[Port][]netip.AddrPort)
	count := 0
	for name, bindings := range told.NetworkSettings.Ports {
		port, ok := parsePort(name)
		if !ok {
			continue // SCTP, which nobody here offers
		}
		for _, b := range bindings {
			on, ok := parseBinding(b.HostIp, b.HostPort)
			if count++; !ok || count > maxBindings {
				continue
			}
			all[port] = append(all[port], on)
		}
	}
	return all, nil
}

// parsePort parses 80/tcp or 53/udp.
func parsePort(text string) (Port, bool) {
	number, protocol, _ := strings.Cut(text, "/")
	n, err := strconv.ParseUint(number, 10, 16)
	return Port{Number: uint16(n), UDP: protocol == "udp"}, err == nil && n > 0 && (protocol == "tcp" || protocol == "udp")
}

// parseBinding parses where a port is published. Podman writes the wildcard as
// nothing.
func parseBinding(host, port string) (netip.AddrPort, bool) {
	addr := netip.IPv4Unspecified()
	if host != "" {
		var err error
		if addr, err = netip.ParseAddr(host); err != nil {
			return netip.AddrPort{}, false
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(n)), err == nil && n > 0
}
