package browser

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// strict makes a missing browser a failure.
var strict = os.Getenv("CLEAT_E2E") != ""

// chromium is the browser; nil: there is none.
var chromium context.Context

// TestMain starts one browser for all tests.
func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	path := find()
	if path == "" {
		return m.Run()
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("hide-scrollbars", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("font-render-hinting", "none"), chromedp.WSURLReadTimeout(time.Minute))
	allocated, free := chromedp.NewExecAllocator(context.Background(), options...)
	defer free()
	browser, end := chromedp.NewContext(allocated)
	defer end()
	if err := chromedp.Run(browser); err != nil {
		fmt.Fprintln(os.Stderr, "Chromium does not start:", err)
		return 1
	}
	chromium = browser
	return m.Run()
}

// find returns where Chromium is.
func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// tab is a page in the browser. It notes everything that no page of ours may do.
type tab struct {
	t   *testing.T
	ctx context.Context
	url string // of the server

	close func()

	mu       sync.Mutex
	wrong    []string
	expected []string // parts of what is to be passed over
}

// open opens a tab of a size, in one of the colour schemes.
func (w *world) open(t *testing.T, width, height int64, scheme string) *tab {
	t.Helper()
	if chromium == nil {
		if strict {
			t.Fatal("there is no Chromium (Debian: chromium)")
		}
		t.Skip("there is no Chromium (Debian: chromium)")
	}
	ctx, cancel := chromedp.NewContext(chromium)
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	b := &tab{t: t, ctx: ctx, url: w.url}
	chromedp.ListenTarget(ctx, b.note)
	b.close = func() { stop(); cancel() }
	t.Cleanup(func() {
		b.close()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, wrong := range b.wrong {
			t.Error(wrong)
		}
	})
	b.expect("ERR_NETWORK_CHANGED")
	b.do(network.Enable(), log.Enable(), runtime.Enable(),
		chromedp.EmulateViewport(width, height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	return b
}

// note notes errors on the console, violations of the policy, and requests to
// another host.
func (b *tab) note(event any) {
	wrong := ""
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		wrong = "an exception: " + e.ExceptionDetails.Error()
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			wrong = fmt.Sprintf("on the console: %s", e.Args[0].Value)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning {
			wrong = "in the browser's log: " + e.Entry.Text + " " + e.Entry.URL
		}
	case *network.EventRequestWillBeSent:
		own, _ := url.Parse(b.url)
		u, err := url.Parse(e.Request.URL)
		if err != nil || u.Scheme != "data" && u.Scheme != "about" && u.Host != own.Host {
			wrong = "a request to another host: " + e.Request.URL
		}
	}
	if wrong == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, expected := range b.expected {
		if strings.Contains(wrong, expected) {
			return
		}
	}
	b.wrong = append(b.wrong, wrong)
}

// expect lets the page do something that is otherwise wrong.
func (b *tab) expect(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.expected = append(b.expected, text)
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// visit goes to a page, and waits until the script is at work.
func (b *tab) visit(path string) {
	b.t.Helper()
	// The machine's networks may change under the browser: containers come and go.
	err := chromedp.Run(b.ctx, chromedp.Navigate(b.url+path))
	for try := 0; try < 20 && err != nil && strings.Contains(err.Error(), "ERR_NETWORK_CHANGED"); try++ {
		time.Sleep(200 * time.Millisecond)
		err = chromedp.Run(b.ctx, chromedp.Navigate(b.url+path))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	b.do(chromedp.WaitReady("main"))
}

// until waits until an expression of the page is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	const patience = 30 * time.Second // the machine may be busy
	var yes bool
	var err error
	for began := time.Now(); time.Since(began) < patience; time.Sleep(20 * time.Millisecond) {
		// While a page goes and another comes, there is nobody to ask.
		if err = chromedp.Run(b.ctx, chromedp.Evaluate("Boolean("+expression+")", &yes)); err == nil && yes {
			b.t.Logf("%s: after %v", what, time.Since(began).Round(time.Millisecond))
			return
		}
	}
	var body string
	_ = chromedp.Run(b.ctx, chromedp.Evaluate("document.body.innerText", &body))
	b.t.Fatalf("%s: not within %v (%v); the page says\n%s", what, patience, err, body)
}

// says evaluates an expression of the page to a value.
func says[V any](b *tab, expression string) V {
	b.t.Helper()
	var v V
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// withoutScript turns scripts off.
func (b *tab) withoutScript() {
	b.t.Helper()
	b.do(emulation.SetScriptExecutionDisabled(true))
}

// press presses a key as a person does: what the page does about it decides
// whether it is a character that goes somewhere.
func (b *tab) press(key string) {
	b.t.Helper()
	b.do(input.DispatchKeyEvent(input.KeyDown).WithKey(key).WithText(key), input.DispatchKeyEvent(input.KeyUp).WithKey(key))
}
