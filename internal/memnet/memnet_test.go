package memnet_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"cleat/internal/memnet"
)

func TestReaderGetsWhatWasWrittenBeforeClose(t *testing.T) {
	a, b := memnet.Pair()
	if _, err := a.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != "hello" {
		t.Fatalf("read %q, %v; want hello", got, err)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
		t.Fatalf("writing to a closed peer: %v; want EPIPE", err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("reading from a closed end: %v; want net.ErrClosed", err)
	}
	if err := a.Close(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("closing twice: %v; want net.ErrClosed", err)
	}
}

func TestFullBufferMakesTheWriterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair()
		done := make(chan error)
		go func() {
			_, err := a.Write(make([]byte, memnet.BufferSize+1))
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatalf("the write returned %v although the buffer is full", err)
		default:
		}
		if _, err := io.ReadFull(b, make([]byte, memnet.BufferSize+1)); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := memnet.Pair()
		start := time.Now()
		a.SetReadDeadline(start.Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v; want a timeout", err)
		}
		var timeout net.Error
		if _, err := a.Read(make([]byte, 1)); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Fatalf("read: %v; want a timeout", err)
		}
		a.SetWriteDeadline(time.Now().Add(time.Second))
		if n, err := a.Write(make([]byte, memnet.BufferSize+1)); !errors.Is(err, os.ErrDeadlineExceeded) || n != memnet.BufferSize {
			t.Fatalf("write: %d, %v; want a full buffer and a timeout", n, err)
		}
		if waited := time.Since(start); waited != 2*time.Second {
			t.Fatalf("waited %v; want 2s", waited)
		}
		// A deadline lifted is no deadline.
		a.SetDeadline(time.Time{})
		go func() {
			time.Sleep(time.Hour)
			b.Write([]byte("x"))
		}()
		if _, err := a.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		// A deadline set while somebody reads wakes the reader.
		go func() {
			time.Sleep(time.Second)
			a.SetReadDeadline(time.Unix(1, 0))
		}()
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read: %v; want a timeout", err)
		}
	})
}

func TestResetAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		defer l.Close()
		var clients []net.Conn
		for range 3 {
			c, err := l.Dial(t.Context(), "tcp", "anywhere:1")
			if err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.ResetAll()
		for _, c := range append(clients, server) {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Fatalf("read: %v; want ECONNRESET", err)
			}
		}
		if _, err := l.Dial(t.Context(), "tcp", "anywhere:1"); err != nil {
			t.Fatalf("dialling after a reset: %v", err)
		}
	})
}

func TestClosedListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		waiting, err := l.Dial(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("accept: %v; want net.ErrClosed", err)
		}
		if _, err := l.Dial(t.Context(), "", ""); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("dial: %v; want ECONNREFUSED", err)
		}
		if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("read: %v; want ECONNRESET", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.Dial(ctx, "", ""); !errors.Is(err, context.Canceled) {
			t.Fatalf("dial: %v; want context.Canceled", err)
		}
	})
}

func TestHTTPInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen()
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour) // not in real time
			io.WriteString(w, r.Host)
		})}
		go server.Serve(l)
		transport := &http.Transport{DialContext: l.Dial}
		response, err := (&http.Client{Transport: transport}).Get("http://example/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || string(body) != "example" {
			t.Fatalf("body %q, %v; want example", body, err)
		}
		response.Body.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
}
