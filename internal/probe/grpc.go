package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"

	"cleat/registry"
)

// The health service of gRPC, version 1. Two messages of one field each are no
// reason to carry a library that is larger than all of cleat:
//
//	message HealthCheckRequest  { string service = 1; }
//	message HealthCheckResponse { ServingStatus status = 1; }
const (
	grpcMethod = "/grpc.health.v1.Health/Check"
	// grpcPrefix is what stands before a message: a flag (compressed), and the
	// length in four bytes.
	grpcPrefix = 5
	// maxMessage bounds the answer, in bytes; a status needs two.
	maxMessage = 4 << 10
	// tagService is field 1, with a length; tagStatus field 1, a number.
	tagService = 1<<3 | wireBytes
	tagStatus  = 1<<3 | wireVarint
	// How the value of a field is written.
	wireVarint, wireFixed64, wireBytes, wireFixed32 = 0, 1, 2, 5
)

// servingStatus are the names of the statuses; the second is passing.
var servingStatus = []string{"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"}

const serving = 1

// Codes of gRPC that a person can do something about.
var grpcCodes = map[string]string{
	"5":  "the server does not know this service",
	"7":  "the server does not permit it",
	"12": "the server has no health service (grpc.health.v1.Health)",
	"14": "the server says that it is unavailable",
	"16": "the server wants to know who asks",
}

// checkGRPC asks the health service: SERVING is passing, anything else critical.
func checkGRPC(ctx context.Context, c Probe, at netip.AddrPort) Outcome {
	d := &dialer{ctx: ctx, at: at}
	defer d.end()
	transport := &http.Transport{DialContext: d.dial, TLSClientConfig: c.tls(), DisableCompression: true, MaxResponseHeaderBytes: maxHeader}
	transport.Protocols = new(http.Protocols)
	transport.Protocols.SetHTTP2(c.TLS)
	transport.Protocols.SetUnencryptedHTTP2(!c.TLS)
	defer transport.CloseIdleConnections()
	scheme := "http://"
	if c.TLS {
		scheme = "https://"
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, scheme+authority(at)+grpcMethod, bytes.NewReader(grpcRequest(c.Service)))
	if err != nil {
		return Failure(c.Timeout, "", err)
	}
	request.Host = c.ServerName
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return Failure(c.Timeout, "gRPC", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return Critical("gRPC: the answer is HTTP %s", status(response.StatusCode))
	}
	message, err := readMessage(response.Body)
	code, text := response.Trailer.Get("Grpc-Status"), response.Trailer.Get("Grpc-Message")
	if code == "" {
		// An answer without a message has its status in the header.
		code, text = response.Header.Get("Grpc-Status"), response.Header.Get("Grpc-Message")
	}
	switch {
	case code != "" && code != "0":
		return grpcFailure(code, text)
	case err != nil:
		return Failure(c.Timeout, "gRPC", err)
	case code == "":
		return Critical("gRPC: the answer has no status")
	}
	number, err := parseStatus(message)
	switch {
	case err != nil:
		return Failure(c.Timeout, "gRPC", err)
	case number == serving:
		return Outcome{Status: registry.Passing, Reason: "gRPC: SERVING"}
	case number < uint64(len(servingStatus)):
		return Critical("gRPC: %s", servingStatus[number])
	}
	return Critical("gRPC: the status %d", number)
}

// grpcFailure is a status other than OK.
func grpcFailure(code, text string) Outcome {
	meaning := ""
	if known := grpcCodes[code]; known != "" {
		meaning = ": " + known
	}
	o := Critical("%s", Line("gRPC: status "+code+meaning))
	if plain, err := url.PathUnescape(text); err == nil {
		text = plain
	}
	o.Output = Clean(text, MaxOutput)
	return o
}

// grpcRequest is the request for one service, with its prefix.
func grpcRequest(service string) []byte {
	var message []byte
	if service != "" {
		message = binary.AppendUvarint([]byte{tagService}, uint64(len(service)))
		message = append(message, service...)
	}
	request := binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))
	return append(request, message...)
}

// readMessage reads the one message of an answer, and the trailer behind it.
// No message at all is not an error here: the status says why.
func readMessage(body io.Reader) ([]byte, error) {
	all, err := io.ReadAll(io.LimitReader(body, grpcPrefix+maxMessage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer: %w", err)
	case len(all) == 0:
		return nil, errors.New("the answer is empty")
	case len(all) < grpcPrefix:
		return nil, errors.New("the answer is cut off")
	case all[0] != 0:
		return nil, errors.New("the answer is compressed, which was not asked for")
	}
	length, message := binary.BigEndian.Uint32(all[1:grpcPrefix]), all[grpcPrefix:]
	switch {
	case length > maxMessage:
		return nil, errors.New("the answer is longer than " + strconv.Itoa(maxMessage) + " bytes")
	case uint64(length) != uint64(len(message)):
		return nil, errors.New("the answer is not one message")
	}
	return message, nil
}

var errMessage = errors.New("the answer is no HealthCheckResponse")

// parseStatus returns the field status; absent is 0. Fields that are not known
// are skipped, and of several the last counts, as in every reader of protobuf.
func parseStatus(message []byte) (uint64, error) {
	var found uint64
	for len(message) > 0 {
		tag, n := binary.Uvarint(message)
		if n <= 0 {
			return 0, errMessage
		}
		message = message[n:]
		switch tag & 7 {
		case wireVarint:
			value, n := binary.Uvarint(message)
			if n <= 0 {
				return 0, errMessage
			}
			message = message[n:]
			if tag == tagStatus {
				found = value
			}
			continue
		case wireFixed64:
			n = 8
		case wireFixed32:
			n = 4
		case wireBytes:
			length, size := binary.Uvarint(message)
			if size <= 0 || length > uint64(len(message)-size) {
				return 0, errMessage
			}
			n = size + int(length)
		default:
			return 0, errMessage
		}
		if n > len(message) {
			return 0, errMessage
		}
		message = message[n:]
	}
	return found, nil
}
