package browser

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
)

// docs is where the pictures are that docs/dashboard.md shows.
const docs = "../../docs/pictures"

// shown are the pictures in docs, by the name that they have here.
var shown = map[string]string{
	"trouble-services-light": "services", "trouble-instance-light": "instance", "company-map-light": "map", "trouble-map-dark": "map-dark",
}

var (
	again = flag.Bool("docs", false, "make the pictures in docs/pictures again")
	write = flag.String("write", "", "write pictures of all pages into this `directory`")
)

// TestScreenshots takes a picture of every page, to be looked at. -write and -docs
// keep them.
func TestScreenshots(t *testing.T) {
	shot := func(b *tab, name string) {
		var picture []byte
		if name := shown[name]; *again && name != "" {
			b.do(chromedp.CaptureScreenshot(&picture))
			picture, err := small(picture)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(docs, name+".png"), picture, 0o644); err != nil { //nolint:gosec // for everybody to see
				t.Fatal(err)
			}
		}
		b.do(chromedp.FullScreenshot(&picture, 100))
		if len(picture) < 1000 {
			t.Errorf("the picture of %s has %d bytes", name, len(picture))
		}
		if *write == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(*write, name+".png"), picture, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	take := func(b *tab, path, name string) {
		t.Helper()
		b.visit(path)
		b.until("the page is live", `document.getElementById('live').textContent === 'live'`)
		shot(b, name)
		b.close() // a browser has six connections to a server
	}
	pages := map[string]string{
		"services": "/", "service": "/services/mysql?namespace=default", "instance": "/instances/cache-2:6379?namespace=default",
		"launchers": "/sessions", "events": "/events", "map": "/map",
	}
	t.Run("empty", func(t *testing.T) {
		w := newWorld(t, nil)
		for name, path := range map[string]string{"empty": "/", "empty-map": "/map"} {
			take(w.open(t, 1280, 800, "light"), path, name)
		}
		w.launch("web-1", []string{"web:80"}, nil, nil)
		take(w.open(t, 1280, 800, "light"), "/", "one")
		take(w.open(t, 1280, 800, "light"), "/map", "one-map")
	})
	t.Run("shop", func(t *testing.T) {
		w := newWorld(t, nil)
		w.shop()
		for _, scheme := range []string{"light", "dark"} {
			for name, path := range pages {
				take(w.open(t, 1280, 800, scheme), path, "shop-"+name+"-"+scheme)
			}
		}
		w.trouble()
		for _, scheme := range []string{"light", "dark"} {
			for name, path := range pages {
				take(w.open(t, 1280, 800, scheme), path, "trouble-"+name+"-"+scheme)
				take(w.open(t, 360, 740, scheme), path, "narrow-"+name+"-"+scheme)
			}
		}
	})
	t.Run("company", func(t *testing.T) {
		w := newWorld(t, nil)
		w.company()
		for _, scheme := range []string{"light", "dark"} {
			take(w.open(t, 1280, 800, scheme), "/", "company-services-"+scheme)
			take(w.open(t, 1600, 1000, scheme), "/map", "company-map-"+scheme)
		}
	})
}
