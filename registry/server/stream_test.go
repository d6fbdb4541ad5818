package server_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"cleat/registry/server"
)

func TestStream(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stream, err := server.NewStream(w)
		if err == nil {
			err = stream.Send("7", "change", []byte("one\r\ntwo"))
		}
		if err == nil {
			err = stream.Send("a\nb", "", nil)
		}
		if err == nil {
			err = stream.Beat()
		}
		if err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	answer, err := http.Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	want := ":\n\nid: 7\nevent: change\ndata: one\ndata: two\n\nid: a b\ndata: \n\n:\n\n"
	if err != nil || string(body) != want || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("%v, %v: got %q; want %q", err, answer.Header, body, want)
	}
}

// What cannot be flushed is no stream.
func TestStreamNeedsFlushing(t *testing.T) {
	if _, err := server.NewStream(struct{ http.ResponseWriter }{httptest.NewRecorder()}); err == nil {
		t.Error("a stream was made of nothing")
	}
}
