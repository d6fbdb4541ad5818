package probe

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Failure is a check that got no answer. What it was is put before the reason.
func Failure(timeout time.Duration, what string, err error) Outcome {
	if what != "" {
		what += ": "
	}
	return Critical("%s", Line(what+cause(err, timeout)))
}

// cause is an error in words that stay the same as long as the cause does:
// without the ports of this side, and without the time of day.
func cause(err error, timeout time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return "no answer within " + timeout.String()
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "the certificate has expired or is not valid yet"
	}
	if asked, ok := errors.AsType[*url.Error](err); ok {
		err = asked.Err
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Err != nil {
		err = op.Err
	}
	if call, ok := errors.AsType[*os.SyscallError](err); ok {
		err = call.Err
	}
	text := err.Error()
	if strings.Contains(text, "malformed ") {
		return "the answer is not HTTP" // the error quotes it
	}
	return text
}
