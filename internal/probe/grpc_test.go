package probe

import (
	"encoding/binary"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cleat/registry"
)

// discard is a log that nobody reads.
var discard = log.New(io.Discard, "", 0)

// healthServer is a gRPC health server over net/http's HTTP/2. Its services are
// names with statuses; "slow" never answers, "raw:..." is answered with bytes.
func healthServer(t *testing.T, secure bool, services map[string]int) *httptest.Server {
	t.Helper()
	server := quiet(httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fail := func(what string) {
			t.Errorf("the request has %s", what)
			w.WriteHeader(http.StatusBadRequest)
		}
		body, err := io.ReadAll(r.Body)
		switch {
		case err != nil || len(body) < grpcPrefix || body[0] != 0 || int(binary.BigEndian.Uint32(body[1:])) != len(body)-grpcPrefix:
			fail("no message")
			return
		case r.ProtoMajor != 2 || r.Method != http.MethodPost || r.URL.Path != grpcMethod || r.Header.Get("Te") != "trailers" || r.Header.Get("Content-Type") != "application/grpc":
			fail("the wrong form")
			return
		}
		service := ""
		if message := body[grpcPrefix:]; len(message) > 0 {
			length, n := binary.Uvarint(message[1:])
			if service = string(message[1+n:]); message[0] != 0x0a || int(length) != len(service) {
				fail("no service")
				return
			}
		}
		w.Header().Set("Content-Type", "application/grpc")
		number, known := services[service]
		switch text, isRaw := strings.CutPrefix(service, "raw:"); {
		case service == "slow":
			<-r.Context().Done()
		case isRaw:
			_, _ = io.WriteString(w, text)
			w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		case service == "unfinished":
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
		case !known:
			// Without a message: the status is in the header.
			w.Header().Set("Grpc-Status", "5")
			w.Header().Set("Grpc-Message", "unknown%20service")
		default:
			w.Header().Set("Trailer", "Grpc-Status")
			_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, byte(number)})
			w.(http.Flusher).Flush()
			w.Header().Set("Grpc-Status", "0")
		}
	})))
	server.Config.Protocols = new(http.Protocols)
	if secure {
		server.EnableHTTP2 = true
		server.Config.Protocols.SetHTTP2(true)
		server.StartTLS()
	} else {
		server.Config.Protocols.SetUnencryptedHTTP2(true)
		server.Start()
	}
	t.Cleanup(server.Close)
	return server
}

func TestGRPC(t *testing.T) {
	server := healthServer(t, false, map[string]int{"": 1, "up": 1, "unknown": 0, "down": 2, "gone": 3, "new": 9})
	at := address(t, server.Listener)
	for service, want := range map[string]string{
		"":                                 "passing gRPC: SERVING",
		"up":                               "passing gRPC: SERVING",
		"unknown":                          "critical gRPC: UNKNOWN",
		"down":                             "critical gRPC: NOT_SERVING",
		"gone":                             "critical gRPC: SERVICE_UNKNOWN",
		"new":                              "critical gRPC: the status 9",
		"other":                            "critical gRPC: status 5: the server does not know this service",
		"unfinished":                       "critical gRPC: the answer has no status",
		"raw:":                             "critical gRPC: the answer is empty",
		"raw:\x00":                         "critical gRPC: the answer is cut off",
		"raw:\x00\x00\x00\x00\x00":         "critical gRPC: UNKNOWN",
		"raw:\x00\x00\x00\x00\x03\x08\x01": "critical gRPC: the answer is not one message",
		"raw:\x01\x00\x00\x00\x02\x08\x01": "critical gRPC: the answer is compressed, which was not asked for",
		"raw:\x00\xff\x00\x00\x02\x08\x01": "critical gRPC: the answer is longer than 4096 bytes",
		"raw:\x00\x00\x00\x00\x01\x08":     "critical gRPC: the answer is no HealthCheckResponse",
	} {
		o := once(t, Probe{Kind: GRPC, Service: service}, at)
		o.expect(t, want)
		if service == "other" && o.Output != "unknown service" {
			t.Errorf("the output is %q", o.Output)
		}
	}
	once(t, Probe{Kind: GRPC, Service: "slow", Timeout: 50 * time.Millisecond}, at).expect(t, "critical gRPC: no answer within 50ms")
}

func TestGRPCByTLS(t *testing.T) {
	at := address(t, healthServer(t, true, map[string]int{"": 1}).Listener)
	c := Probe{Kind: GRPC, TLS: true}
	once(t, c, at).expect(t, "critical gRPC: tls: failed to verify certificate: x509: certificate signed by unknown authority")
	c.SkipVerify = true
	once(t, c, at).expect(t, "passing gRPC: SERVING")
	if o := once(t, Probe{Kind: GRPC, Timeout: time.Second}, at); o.Status != registry.Critical {
		t.Errorf("without TLS: %+v", o)
	}
}

func TestGRPCOfSomethingElse(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if o := once(t, Probe{Kind: GRPC, Timeout: 5 * time.Second}, address(t, server.Listener)); o.Status != registry.Critical || !strings.HasPrefix(o.Reason, "gRPC: ") {
		t.Errorf("%+v", o)
	}
	once(t, Probe{Kind: GRPC}, unused(t)).expect(t, "critical gRPC: connection refused")
	// HTTP/2, and not gRPC.
	other := httptest.NewUnstartedServer(http.NotFoundHandler())
	other.Config.Protocols = new(http.Protocols)
	other.Config.Protocols.SetUnencryptedHTTP2(true)
	other.Start()
	defer other.Close()
	once(t, Probe{Kind: GRPC}, address(t, other.Listener)).expect(t, "critical gRPC: the answer is HTTP 404 Not Found")
}

func TestParseStatus(t *testing.T) {
	for message, want := range map[string]uint64{
		"": 0, "\x08\x01": 1, "\x08\x02\x08\x01": 1, "\x08\x81\x00": 1,
		"\x12\x03abc\x08\x01": 1, "\x19abcdefgh\x08\x01": 1, "\x1dabcd\x08\x01": 1, "\x10\x05": 0,
	} {
		if got, err := parseStatus([]byte(message)); err != nil || got != want {
			t.Errorf("%q: %d, %v", message, got, err)
		}
	}
	for _, message := range []string{"\x08", "\x80", "\x12\x04abc", "\x19abc", "\x1dab", "\x0b", "\x12", "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"} {
		if got, err := parseStatus([]byte(message)); err == nil {
			t.Errorf("%q: %d", message, got)
		}
	}
}

// FuzzMessage reads answers: an error or a status, and no more than is there.
func FuzzMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 2, 8, 1})
	f.Add([]byte{0, 0, 0, 0, 5, 0x12, 3, 'a', 'b', 'c'})
	f.Fuzz(func(t *testing.T, answer []byte) {
		message, err := readMessage(strings.NewReader(string(answer)))
		if err != nil {
			return
		}
		if len(message) > maxMessage || len(message) != len(answer)-grpcPrefix {
			t.Fatalf("a message of %d bytes in %d", len(message), len(answer))
		}
		_, _ = parseStatus(message)
	})
}
