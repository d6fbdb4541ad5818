package browser

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"cleat/registry"
	"cleat/registry/access"
	"cleat/registry/server"
)

// isLive is true when the stream is connected.
const isLive = `document.getElementById('live').textContent === 'live'`

// A change appears on the page that is open, and nothing of it is loaded again but
// what differs.
func TestLiveUpdate(t *testing.T) {
	w := newWorld(t, nil)
	w.launch("web-1", []string{"web:80"}, []string{"mysql"}, nil)
	b := w.open(t, 1280, 800, "light")
	b.visit("/")
	b.until("the page is live", isLive)
	b.do(chromedp.Evaluate(`window.mark = 'still the same page'; document.querySelector('.rows a').focus()`, nil))
	b.until("what is missing is named", `document.getElementById('attention').innerText.includes('web requires mysql: 0 found')`)
	w.launch("db-1", []string{"mysql:3306"}, nil, nil)
	b.until("the new service is there", `document.querySelector('.rows tr.passing a[href*="/services/mysql"]')`)
	b.until("nothing is missing", `document.getElementById('attention').innerText.includes('Everything that is required is there')`)
	w.launchers["web-1"].status(registry.Critical, "503")
	b.until("the service is critical", `document.querySelector('.rows tr.critical a[href*="/services/web"]')`)
	if mark := says[string](b, `String(window.mark)`); mark != "still the same page" {
		t.Errorf("the page was loaded again: %q", mark)
	}
	if focused := says[string](b, `document.activeElement.tagName`); focused != "A" {
		t.Errorf("the focus went to %s", focused)
	}
}

// Events come as they happen.
func TestLiveEvents(t *testing.T) {
	w := newWorld(t, nil)
	l := w.launch("web-1", []string{"web:80"}, nil, nil)
	b := w.open(t, 1280, 800, "dark")
	b.visit("/events")
	b.until("the page is live", isLive)
	l.status(registry.Critical, "no answer on port 80")
	b.until("the event is there, with its reason", `document.querySelector('.events tbody tr').innerText.includes('is critical')`)
	l.leave()
	b.until("its end is there", `document.querySelector('.events').innerText.includes('is gone: left')`)
	b.do(chromedp.SendKeys("#search", "appeared", chromedp.ByQuery))
	b.until("the search is at work", `document.querySelectorAll('.events tbody tr').length === 1 && location.search === '?q=appeared'`)
}

// A server that is away is said to be so, and the page goes on when it is back.
func TestServerAway(t *testing.T) {
	w := newWorld(t, nil)
	w.launch("web-1", []string{"web:80"}, nil, nil)
	b := w.open(t, 1280, 800, "light")
	b.expect("ERR_CONNECTION_REFUSED")
	b.expect("ERR_EMPTY_RESPONSE")
	b.expect("ERR_INCOMPLETE_CHUNKED_ENCODING")
	b.expect("ERR_CONNECTION_RESET")
	b.visit("/")
	b.until("the page is live", isLive)
	address := strings.TrimPrefix(w.url, "http://")
	w.stop()
	b.until("the banner is shown", `!document.getElementById('lost').hidden && document.getElementById('lost').offsetHeight > 0`)
	if text := says[string](b, `document.querySelector('.rows').innerText`); !strings.Contains(text, "web") {
		t.Errorf("the page has forgotten what it showed: %s", text)
	}
	w.config.Warming = nil // as servers start
	w.start(address)
	b.until("the banner is gone", `document.getElementById('lost').hidden && `+isLive)
	b.until("warming is said", `document.getElementById('banners').innerText.includes('Warming')`)
	b.until("the service is back", `document.querySelector('.rows tr.passing')`)
}

func TestKeyboard(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "light")
	b.visit("/")
	b.until("the page is live", isLive)
	b.do(chromedp.KeyEvent(kb.Tab))
	if text := says[string](b, `document.activeElement.innerText`); text != "Skip to the content" {
		t.Errorf("the first stop is %q", text)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the content has the focus", `document.activeElement.id === 'main'`)
	b.press("/")
	b.until("/ goes to the search", `document.activeElement.id === 'search'`)
	b.do(chromedp.KeyEvent("mysq"))
	b.until("the list is searched", `document.querySelectorAll('.rows tbody tr').length === 1`)
	if value := says[string](b, `document.activeElement.value`); value != "mysq" {
		t.Errorf("the search has %q in it", value)
	}
	for range 10 {
		b.do(chromedp.KeyEvent(kb.Tab))
		if says[bool](b, `document.activeElement.matches('.rows a')`) {
			break
		}
	}
	if outline := says[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline != "solid" {
		t.Errorf("the focus cannot be seen: outline %s", outline)
	}
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the service is there", `document.querySelector('h1')?.innerText === 'mysql'`)
}

// Nothing is wider than a narrow screen, on any page, and nothing is lost.
func TestNarrow(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.trouble()
	b := w.open(t, 360, 740, "light")
	for _, path := range []string{"/", "/services/mysql", "/services/web", "/instances/web-3:8000", "/sessions", "/events", "/map", "/nothing"} {
		if path == "/nothing" {
			b.expect("404")
		}
		b.visit(path)
		if wide := says[int](b, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s is %d pixels wide: %s", path, wide, says[string](b,
				`[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > 361 && !e.closest('.canvas')).map(e => e.tagName + '.' + e.className).slice(0, 5).join(' ')`))
		}
	}
	b.visit("/services/web")
	if text := says[string](b, `document.querySelector('.rows').innerText`); !strings.Contains(text, "GET /health: 503 Service Unavailable") {
		t.Errorf("the reason is missing: %s", text)
	}
}

// contrast is the least contrast of all texts of a page against what is behind
// them, and where that is.
const contrast = `(() => {
	const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
	const rgba = c => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return canvas.getImageData(0, 0, 1, 1).data; };
	const light = c => { const [r, g, b] = [...c].slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
	let least = 99, where = '';
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let n = walk.nextNode(); n; n = walk.nextNode()) {
		const e = n.parentElement;
		if (!n.data.trim() || !e.checkVisibility() || e.closest('svg, .sr, .skip, select, [hidden]')) continue;
		let behind = e;
		while (behind && rgba(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
		const a = light(rgba(getComputedStyle(e).color)), b = light(rgba(getComputedStyle(behind || document.documentElement).backgroundColor));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < least) { least = ratio; where = e.tagName + '.' + e.className + ' ' + n.data.trim().slice(0, 40); }
	}
	return {least, where};
})()`

// Both schemes are what the system asks for, and both can be read: WCAG AA asks
// for 4.5 to 1.
func TestSchemes(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	w.trouble()
	papers := make(map[string]string)
	for _, scheme := range []string{"light", "dark"} {
		b := w.open(t, 1280, 800, scheme)
		for _, path := range []string{"/", "/services/mysql", "/instances/web-3:8000", "/sessions", "/events", "/map"} {
			b.visit(path)
			found := says[struct {
				Least float64
				Where string
			}](b, contrast)
			if found.Least < 4.5 || found.Least > 21.1 {
				t.Errorf("%s, %s: the contrast is %.2f at %s", path, scheme, found.Least, found.Where)
			}
		}
		papers[scheme] = says[string](b, `getComputedStyle(document.documentElement).backgroundColor`)
	}
	if papers["light"] == papers["dark"] {
		t.Errorf("both schemes are %s", papers["light"])
	}
}

func TestMap(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "light")
	b.visit("/map")
	b.until("the page is live", isLive)
	// Every text fits into its box, whatever the fonts are.
	if wide := says[string](b, `[...document.querySelectorAll('#canvas .box')].filter(box => {
		const frame = box.querySelector('.frame').getBBox();
		return [...box.querySelectorAll('text')].some(text => { const t = text.getBBox(); return t.x < 0 || t.x + t.width > frame.width - 4; });
	}).map(box => box.dataset.id).join(' ')`); wide != "" {
		t.Errorf("these have text that is too wide: %s", wide)
	}
	// Pointing at the database lights up who would break without it.
	point := func(id string) {
		at := says[[]float64](b, `(() => { const r = document.querySelector('[data-id="`+id+`"] .frame').getBoundingClientRect(); return [r.x + 20, r.y + r.height / 2]; })()`)
		b.do(chromedp.MouseEvent("mouseMoved", at[0], at[1]))
	}
	lit := func(class string) string {
		return says[string](b, `[...document.querySelectorAll('#canvas .box.`+class+`')].map(box => box.querySelector('.name').textContent).sort().join(' ')`)
	}
	point("default/mysql")
	b.until("the map looks at it", `document.querySelector('#canvas svg.looking .box.at')`)
	if got := lit("breaks"); got != "auth front nightly web" {
		t.Errorf("without mysql these break: %q", got)
	}
	point("default/cache")
	b.until("the map looks at the cache", `document.querySelector('#canvas .box.at').dataset.id === 'default/cache'`)
	if got := lit("breaks"); got != "" {
		t.Errorf("without the optional cache these break: %q", got)
	}
	if got := lit("near"); got != "cache front web" {
		t.Errorf("beside the cache are %q", got)
	}
	// A change of the map keeps what one looks at.
	w.launchers["cache-1"].leave()
	b.until("the count is another", `document.querySelector('[data-id="default/cache"] .note').textContent === '1 of 1 passing'`)
	if got := lit("at"); got != "cache" {
		t.Errorf("the map looks at %q after a change", got)
	}
	// Closer, and back.
	before := says[float64](b, `document.querySelector('#canvas svg').getBoundingClientRect().width`)
	b.do(chromedp.Click(`[data-by="in"]`, chromedp.ByQuery))
	b.until("it is larger", `document.querySelector('#canvas svg').getBoundingClientRect().width > 1.2 * `+says[string](b, `String(`+`document.querySelector('#canvas svg').viewBox.baseVal.width`+`)`))
	b.do(chromedp.Click(`[data-by="fit"]`, chromedp.ByQuery))
	if after := says[float64](b, `document.querySelector('#canvas svg').getBoundingClientRect().width`); after != before {
		t.Errorf("fitted, it is %v wide; it was %v", after, before)
	}
	// With the keyboard, and through.
	b.do(chromedp.Focus(`[data-id="default/web"]`, chromedp.ByQuery))
	b.until("the focus lights up as well", `document.querySelector('#canvas .box.at').dataset.id === 'default/web'`)
	b.do(chromedp.KeyEvent(kb.Enter))
	b.until("the service is there", `document.querySelector('h1')?.innerText === 'web'`)
}

// The export is a picture for itself: it looks the same without the page.
func TestExport(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "dark")
	b.do(chromedp.Navigate(w.url + "/api/v1/graph?format=svg"))
	b.until("the picture is there", `document.documentElement.tagName === 'svg'`)
	if boxes := says[int](b, `document.querySelectorAll('.box').length`); boxes != 7 {
		t.Errorf("%d boxes", boxes)
	}
	if fill := says[string](b, `getComputedStyle(document.querySelector('.frame')).fill`); fill != "rgb(29, 34, 40)" {
		t.Errorf("the styles are not at work: the boxes are %s", fill)
	}
}

// Two hundred services can be read.
func TestLargeMap(t *testing.T) {
	w := newWorld(t, nil)
	w.company()
	b := w.open(t, 1600, 1000, "light")
	b.visit("/map")
	b.until("the page is live", isLive)
	if n := says[int](b, `document.querySelectorAll('#canvas .box').length`); n != 201 {
		t.Errorf("%d boxes", n)
	}
	if wide := says[int](b, `[...document.querySelectorAll('#canvas .box')].filter(box => [...box.querySelectorAll('text')].some(text => text.getBBox().x + text.getBBox().width > box.querySelector('.frame').getBBox().width - 4)).length`); wide != 0 {
		t.Errorf("%d boxes have text that is too wide", wide)
	}
	b.press("/")
	b.do(chromedp.KeyEvent("legacy"))
	b.until("what is looked for is in sight", `(() => {
		const box = document.querySelector('#canvas .box.near').getBoundingClientRect(), canvas = document.getElementById('canvas').getBoundingClientRect();
		return document.querySelectorAll('#canvas .box.near').length === 1 && box.left >= canvas.left && box.right <= canvas.right && box.top >= canvas.top && box.bottom <= canvas.bottom;
	})()`)
}

// An operator takes an instance out of service and puts it back.
func TestMaintenance(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "light")
	b.visit("/instances/web-1:8000")
	if says[bool](b, `document.querySelector('#maintain [name=reason]').checkVisibility()`) {
		t.Error("the action is there before anybody has asked for it")
	}
	b.do(chromedp.Click("#maintain summary", chromedp.ByQuery), chromedp.SendKeys("#maintain [name=reason]", "a new disk", chromedp.ByQuery))
	time.Sleep(2 * time.Second) // the page is kept fresh meanwhile, and what was typed stays
	b.do(chromedp.Click("#maintain button", chromedp.ByQuery))
	b.until("it is in maintenance", `document.body.innerText.includes('The instance is in maintenance') && document.querySelector('.title').innerText.includes('maintenance')`)
	b.until("the reason is shown", `document.querySelector('main').innerText.includes('a new disk')`)
	story, _ := w.srv.Instance("default", "web-1:8000")
	if story.Instance.Status != registry.Maintenance {
		t.Errorf("it is %s", story.Instance.Status)
	}
	b.do(chromedp.Click("#actions button[value=service]", chromedp.ByQuery))
	b.until("it is back", `document.body.innerText.includes('The maintenance is over')`)
}

// Another site's page cannot do what an operator can.
func TestForeignForm(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "light")
	b.expect("403")
	b.do(chromedp.Navigate("about:blank"), chromedp.Evaluate(`{
		const form = document.createElement('form');
		form.method = 'post';
		form.action = '`+w.url+`/instances/web-1:8000';
		form.innerHTML = '<input name="do" value="maintenance">';
		document.body.append(form);
		form.submit();
	}`, nil))
	b.until("it is refused", `document.body.innerText.includes("another site's page")`)
	if story, _ := w.srv.Instance("default", "web-1:8000"); story.Instance.Status != registry.Passing {
		t.Errorf("it is %s", story.Instance.Status)
	}
}

// Who has no token sees the login, and nothing else; who has one sees what it
// allows.
func TestLogin(t *testing.T) {
	token := access.NewToken()
	line, err := access.NewLine("alice", token, "", "read", "*", "*")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte(line.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens, err := access.Open(file, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *server.Config) { c.Tokens = tokens })
	if _, err := w.srv.Register(server.Registration{Source: "api", Instance: registry.Instance{
		ID: "web-1", Service: "web", Address: "10.0.0.1", Port: 80, Status: registry.Passing,
	}}); err != nil {
		t.Fatal(err)
	}
	b := w.open(t, 1280, 800, "dark")
	b.expect("401")
	b.do(chromedp.Navigate(w.url + "/instances/web-1?namespace=default"))
	b.until("the login is asked for", `location.pathname === '/login' && document.activeElement.name === 'token'`)
	b.do(chromedp.KeyEvent("cleat_wrong"), chromedp.KeyEvent(kb.Enter))
	b.until("a wrong token is refused", `document.querySelector('[role=alert]')?.innerText.includes('not known')`)
	b.do(chromedp.SendKeys("#token", token, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	b.until("the page that was asked for is there", `document.querySelector('h1')?.innerText === 'web-1' && `+isLive)
	if text := says[string](b, `document.body.innerText`); !strings.Contains(text, "alice") || strings.Contains(text, "Maintenance …") || strings.Contains(text, token) {
		t.Errorf("a reader sees\n%s", text)
	}
	if cookies := says[string](b, `document.cookie`); cookies != "" {
		t.Errorf("scripts can read the cookie: %s", cookies)
	}
	b.do(chromedp.Click(".who button", chromedp.ByQuery))
	b.until("who logs out is out", `location.pathname === '/login'`)
	b.do(chromedp.Navigate(w.url + "/"))
	b.until("and stays out", `location.pathname === '/login'`)
}

// Without its script a page says the same, but for what changes later.
func TestWithoutScript(t *testing.T) {
	w := newWorld(t, nil)
	w.shop()
	b := w.open(t, 1280, 800, "light")
	b.withoutScript()
	b.visit("/?q=mysql")
	var text, drawn string
	b.do(chromedp.Text(".rows", &text, chromedp.ByQuery), chromedp.Click(".rows a", chromedp.ByQuery), chromedp.WaitReady("#near svg .box", chromedp.ByQuery),
		chromedp.Click(`nav a[href^="/map"]`, chromedp.ByQuery), chromedp.WaitReady("#canvas", chromedp.ByQuery), chromedp.Text("#single", &drawn, chromedp.ByQuery))
	if !strings.Contains(text, "mysql") || !strings.Contains(drawn, "mysql would break 4") {
		t.Errorf("got %q, %q", text, drawn)
	}
}
