package dashboard

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"strings"
	"sync"

	"cleat/registry/graph"
)

//go:embed static
var staticFiles embed.FS

// asset is a file that pages need.
type asset struct {
	kind    string
	content []byte
	version string // begins the SHA-256 of the content
}

var assets = sync.OnceValue(func() map[string]asset {
	all := make(map[string]asset)
	add := func(name, kind string, content []byte) {
		const enough = 8 // bytes, to tell versions apart
		sum := sha256.Sum256(content)
		all[name] = asset{kind, content, hex.EncodeToString(sum[:enough])}
	}
	for name, kind := range map[string]string{
		"dashboard.css": "text/css; charset=utf-8", "dashboard.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		content, err := staticFiles.ReadFile("static/" + name)
		if err != nil {
			panic("dashboard: internal error: " + err.Error())
		}
		add(name, kind, content)
	}
	add("map.css", "text/css; charset=utf-8", []byte(graph.Style))
	return all
})

// assetPath returns where an asset is. Its version is in it, so that a browser may
// keep it for ever, and a new server's pages never meet an old one's script.
func assetPath(name string) string {
	return "/assets/" + name + "?v=" + assets()[name].version
}

// build tells whether two pages come from the same program.
var build = sync.OnceValue(func() string {
	return assets()["dashboard.js"].version + assets()["dashboard.css"].version + assets()["map.css"].version
})

func serveAsset(w http.ResponseWriter, r *http.Request) {
	a, found := assets()[strings.ToLower(r.PathValue("file"))]
	if !found {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", a.kind)
	h.Set("ETag", `"`+a.version+`"`)
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.version {
		h.Set("Cache-Control", "private, max-age=31536000, immutable")
	}
	if r.Header.Get("If-None-Match") == `"`+a.version+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	_, _ = w.Write(a.content) // a browser that is gone needs no style
}
