package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// tally is what the client of the database has seen, as it answers to GET /.
type tally struct {
	mu sync.Mutex

	Address   string `json:"address"` // of the database
	Succeeded int    `json:"succeeded"`
	Failed    int    `json:"failed"`
	LastError string `json:"last_error"`
}

const (
	dbEvery   = 50 * time.Millisecond
	dbTimeout = 5 * time.Second
)

// db writes a note and reads it back, through Debian's own client, again and again. Where the database is, it knows
// from DB_HOST and DB_PORT alone.
func db(args []string) error {
	flags := flag.NewFlagSet("db", flag.ContinueOnError)
	address := flags.String("listen", ":8080", "address")
	if err := flags.Parse(args); err != nil {
		return err
	}
	host, port := os.Getenv("DB_HOST"), os.Getenv("DB_PORT")
	if host == "" || port == "" {
		return fmt.Errorf("DB_HOST is %q and DB_PORT is %q, expected both", host, port)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	go func() {
		<-term
		os.Exit(0)
	}()
	seen := &tally{Address: net.JoinHostPort(host, port)}
	go func() {
		for i := 0; ; i++ {
			seen.add(note(host, port, fmt.Sprintf("note-%d", i)))
			time.Sleep(dbEvery)
		}
	}()
	server := &http.Server{
		Addr:              *address,
		ReadHeaderTimeout: time.Minute,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			seen.mu.Lock()
			defer seen.mu.Unlock()
			_ = json.NewEncoder(w).Encode(seen)
		}),
	}
	return server.ListenAndServe()
}

func note(host, port, text string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	statements := fmt.Sprintf("INSERT INTO notes (text) VALUES ('%s'); SELECT text FROM notes WHERE id = LAST_INSERT_ID()", text)
	cmd := exec.CommandContext(ctx, "mariadb", "--protocol=tcp", "--connect-timeout=2", "-BN", "-h", host, "-P", port, "-u", "app",
		"-e", statements, "app")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if got := strings.TrimSpace(string(out)); got != text {
		return fmt.Errorf("wrote %q, read %q", text, got)
	}
	return nil
}

func (t *tally) add(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.Failed++
		t.LastError = err.Error()
		fmt.Println("failed:", err)
		return
	}
	t.Succeeded++
}
