package server

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"cleat/registry"
)

// The bounds of checks.
const (
	// DefaultInterval is from the start of one check to that of the next.
	DefaultInterval = 10 * time.Second
	// MinInterval is the shortest interval: a check costs the server a connection.
	MinInterval = time.Second
	// MaxInterval is the longest one.
	MaxInterval = 24 * time.Hour
	// DefaultTimeout is how long a check may take.
	DefaultTimeout = 10 * time.Second
	// MaxThreshold is the largest number of outcomes in a row that a threshold
	// may ask for.
	MaxThreshold = 100
	// maxCheckPath is the length of a path in bytes.
	maxCheckPath = 2 << 10
)

// The kinds of checks.
const (
	CheckTCP   = "tcp"   // a connection is accepted
	CheckHTTP  = "http"  // 2xx is passing, 429 warning, everything else critical
	CheckHTTPS = "https" // likewise
)

// Check is how the server finds out how an instance is that has no launcher. It
// is comparable.
type Check struct {
	Kind    string // CheckTCP, CheckHTTP or CheckHTTPS
	Address string // host:port that is asked; empty: the instance's
	Path    string // of HTTP: begins with /; empty: /
	Method  string // of HTTP; empty: GET

	ServerName string // of HTTPS: the name that the certificate must be for; empty: the host
	SkipVerify bool   // of HTTPS: any certificate will do

	// Initial is what it is taken for until there is a result: passing, warning
	// or critical; empty: for what was said of it.
	Initial registry.Status

	Interval time.Duration // from start to start, 1 s to a day; 0: DefaultInterval
	Timeout  time.Duration // of one check, at most the interval; 0: DefaultTimeout, or the interval
	Rise     int           // outcomes in a row that make it better; 0 is 1
	Fall     int           // outcomes in a row that make it worse; 0 is 1
}

// normalize checks everything and fills in what holds where nothing is said.
func (k Check) normalize(i registry.Instance) (Check, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	k.Kind = strings.ToLower(k.Kind)
	switch k.Kind {
	case CheckTCP:
		if k.Path != "" || k.Method != "" {
			bad("a check by TCP has no path and no method")
		}
	case CheckHTTP, CheckHTTPS:
		k.Path, k.Method = cmp.Or(k.Path, "/"), strings.ToUpper(cmp.Or(k.Method, http.MethodGet))
		if !strings.HasPrefix(k.Path, "/") || len(k.Path) > maxCheckPath || strings.ContainsFunc(k.Path, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			bad("the check's path is %.100q; expected one that begins with / and has no spaces", k.Path)
		}
		if strings.ContainsFunc(k.Method, func(r rune) bool { return r < 'A' || r > 'Z' }) || len(k.Method) > 16 {
			bad("the check's method is %.40q; expected one such as GET", k.Method)
		}
	default:
		bad("%.40q is no kind of check; expected tcp, http or https", k.Kind)
	}
	if k.Address == "" && i.Protocol == registry.UDP {
		bad("the instance is reached by UDP, which cannot be checked; expected another address for the check")
	}
	if k.Address != "" {
		host, port, err := net.SplitHostPort(k.Address)
		if err == nil {
			if err = registry.CheckAddress(host); err == nil {
				if n, e := strconv.ParseUint(port, 10, 16); e != nil || n == 0 {
					err = errors.New("the port is no number from 1 to 65535")
				}
			}
		}
		if err != nil {
			bad("the check's address is %.100q: %w; expected host:port", k.Address, err)
		}
	}
	if k.Initial != "" && k.Initial != registry.Critical && !k.Initial.Serving() {
		bad("the check's initial status is %.40q; expected passing, warning or critical", k.Initial)
	}
	k.Interval = cmp.Or(k.Interval, DefaultInterval)
	if k.Interval < MinInterval || k.Interval > MaxInterval {
		bad("the check's interval is %v; expected %v to %v", k.Interval, MinInterval, MaxInterval)
	}
	k.Timeout = cmp.Or(k.Timeout, min(DefaultTimeout, k.Interval))
	if k.Timeout < 0 || k.Timeout > k.Interval {
		bad("the check's timeout is %v; expected at most its interval, %v", k.Timeout, k.Interval)
	}
	for _, n := range []*int{&k.Rise, &k.Fall} {
		if *n = cmp.Or(*n, 1); *n < 0 || *n > MaxThreshold {
			bad("a threshold of the check is %d; expected 1 to %d", *n, MaxThreshold)
		}
	}
	return k, errors.Join(errs...)
}
