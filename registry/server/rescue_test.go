package server

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestMistakeInAHandler(t *testing.T) {
	var log strings.Builder
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil))}
	w := httptest.NewRecorder()
	s.rescue(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("no such case") })).ServeHTTP(w, httptest.NewRequest("GET", "/somewhere?token=secret", nil))
	if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), broken) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if text := log.String(); !strings.Contains(text, "no such case") || !strings.Contains(text, "path=/somewhere") || strings.Contains(text, "secret") || !strings.Contains(text, "rescue_test.go") {
		t.Errorf("the log has %s", text)
	}
}
