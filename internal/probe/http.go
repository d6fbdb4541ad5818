package probe

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"cleat/registry"
)

const (
	// maxRedirects is how many redirects to the same address are followed.
	maxRedirects = 10
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// userAgent lets a server's log tell checks from visitors.
	userAgent = "cleat-health"
)

// checkHTTP asks for a path: 2xx is passing, 429 (too many requests) warning,
// anything else critical.
func checkHTTP(ctx context.Context, c Probe, at netip.AddrPort) Outcome {
	d := &dialer{ctx: ctx, at: at}
	defer d.end()
	transport := &http.Transport{
		DialContext: d.dial, TLSClientConfig: c.tls(), ForceAttemptHTTP2: true,
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	defer transport.CloseIdleConnections()
	// A query may hold what is not for everybody.
	path, _, _ := strings.Cut(c.Path, "?")
	what := c.Method + " " + path
	request, err := http.NewRequestWithContext(ctx, c.Method, string(c.Kind)+"://"+authority(at)+c.Path, nil)
	if err != nil {
		return Failure(c.Timeout, what, err)
	}
	request.Host = c.ServerName
	request.Header.Set("User-Agent", userAgent)
	request.Header.Set("Accept", "text/plain, text/*, */*")
	client := &http.Client{Transport: transport, CheckRedirect: func(next *http.Request, via []*http.Request) error {
		first := via[0].URL
		same := next.URL.Scheme == first.Scheme && (next.URL.Host == first.Host || next.URL.Host == c.ServerName)
		if !same || len(via) >= maxRedirects {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	response, err := client.Do(request)
	if err != nil {
		return Failure(c.Timeout, what, err)
	}
	defer response.Body.Close()
	o := Outcome{Status: registry.Critical, Reason: Line(what + ": " + status(response.StatusCode))}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		// The body says nothing more, and may never end.
		o.Status = registry.Passing
		return o
	case code == http.StatusTooManyRequests:
		o.Status = registry.Warning
	case code >= 300 && code < 400:
		o.Reason += " (redirects to other addresses are not followed)"
	}
	// As much of the body as comes in time.
	body, _ := io.ReadAll(io.LimitReader(response.Body, MaxOutput))
	o.Output = Clean(string(body), MaxOutput)
	return o
}

// status is a code with its standard words; a server's own say anything.
func status(code int) string {
	text := http.StatusText(code)
	if text != "" {
		text = " " + text
	}
	return strconv.Itoa(code) + text
}

// authority is an address as it stands in a URL: a zone means nothing to a server.
func authority(at netip.AddrPort) string {
	return netip.AddrPortFrom(at.Addr().WithZone(""), at.Port()).String()
}

func (c Probe) tls() *tls.Config {
	return &tls.Config{ServerName: c.ServerName, InsecureSkipVerify: c.SkipVerify, MinVersion: tls.VersionTLS12}
}
