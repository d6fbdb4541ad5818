package listeners

import (
	"net"
	"os"
	"testing"
)

// Only established connections to the port count: not its listener, not those
// of other ports, and not those that have ended.
func TestEstablished(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		server, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer server.Close()
		port := uint16(server.Addr().(*net.TCPAddr).Port)
		reader := New(os.Getpid())
		defer reader.Close()
		expect := func(want int) {
			t.Helper()
			if got, err := reader.Established([]uint16{port}); err != nil || got != want {
				t.Fatalf("%s: %d established connections, %v; expected %d", host, got, err, want)
			}
		}
		expect(0)
		client, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := server.Accept()
		if err != nil {
			t.Fatal(err)
		}
		expect(1)
		accepted.Close()
		client.Close()
		expect(0)
	}
}
