package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// promtool runs Prometheus's own checker.
func promtool(t *testing.T, stdin io.Reader, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		lacks(t, "promtool (Debian: prometheus)", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdin, cmd.Dir = stdin, dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestAlerts has Prometheus judge the alert rules, and try them.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool(t, nil, "../examples/prometheus", "check", "rules", "--lint-fatal", "alerts.yml")
	promtool(t, nil, "../examples/prometheus", "test", "rules", "alerts_test.yml")
}

// TestMetrics has Prometheus judge a scrape of a server with launchers: two that serve, one that waits, one whose child
// crashes again and again.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := newSite(t, "-dns", "127.0.0.1:0", "-warming", "0")
	for n := range 2 {
		s.web(fmt.Sprintf("web-%d", n))
	}
	s.cleat("waiter", []string{"CLEAT_REQUIRE_DB=nobody-has-it", "CLEAT_PORTS=none"}, built(t).testchild, "listen", "127.0.0.1:0")
	s.cleat("crasher", []string{"CLEAT_RESTART=always", fmt.Sprintf("SERVICE_%d_NAME=crashing", freePort(t))}, "false")

	var text string
	value := func(series string) (float64, error) {
		for line := range strings.Lines(text) {
			if rest, found := strings.CutPrefix(line, series+" "); found {
				return strconv.ParseFloat(strings.TrimSpace(rest), 64)
			}
		}
		return 0, fmt.Errorf("there is no %s", series)
	}
	WaitFor(t, 30*time.Second, func() error {
		answer, err := fresh.Get("http://" + s.address + "/metrics")
		if err != nil {
			return err
		}
		defer func() { _ = answer.Body.Close() }()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			return fmt.Errorf("/metrics: %s, %w", answer.Status, err)
		}
		text = string(body)
		for series, least := range map[string]float64{
			`cleat_launchers{namespace="default",service="web",state="running"}`:           2,
			`cleat_launchers{namespace="default",service="",state="waiting"}`:              1,
			`cleat_unmet_requirements{namespace="default",service=""}`:                     1,
			`cleat_child_restarts_total{namespace="default",service="crashing"}`:           2,
			`cleat_child_memory_bytes{namespace="default",service="web"}`:                  1,
			`cleatd_service_instances{namespace="default",service="web",status="passing"}`: 2,
			`cleatd_http_request_duration_seconds_count{code="200",interface="health"}`:    1,
			`cleatd_sessions`: 4, `cleatd_changes_total`: 3,
		} {
			if got, err := value(series); err != nil || got < least {
				return fmt.Errorf("%s is %v, %w; want %v", series, got, err, least)
			}
		}
		return nil
	})
	if out := promtool(t, bytes.NewBufferString(text), ".", "check", "metrics"); out != "" {
		t.Errorf("promtool check metrics says:\n%s", out)
	}
}
