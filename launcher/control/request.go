package control

import "cleat/registry"

// Do is what a launcher can be asked for.
type Do string

// The questions.
const (
	DoStatus  Do = "status"
	DoDrain   Do = "drain"
	DoUndrain Do = "undrain"
	DoReload  Do = "reload"
	DoRestart Do = "restart"
	DoSet     Do = "set"
	DoReport  Do = "report"
)

// Request is one question to the launcher's loop, from somebody who may ask it.
type Request struct {
	Do      Do
	Changes []Change        // of DoSet
	Status  registry.Status // of DoReport: passing, warning or critical
	Text    string          // of DoReport: for people
	Port    Port            // of DoSet and DoReport: the instance that is meant; the zero value: all

	reply chan Answer
	gone  <-chan struct{}
}

// NewRequest returns a question that can be answered once. Answers yields the
// answer; gone is closed when nobody waits for it any more, and may be nil.
func NewRequest(do Do, gone <-chan struct{}) Request {
	return Request{Do: do, reply: make(chan Answer, 1), gone: gone}
}

// Reply answers the request. It never blocks; of several answers the first one
// counts.
func (r Request) Reply(a Answer) {
	select {
	case r.reply <- a:
	default:
	}
}

// Gone reports whether nobody waits for the answer any more.
func (r Request) Gone() bool {
	select {
	case <-r.gone:
		return true
	default:
		return false
	}
}

// Answers yields the answer.
func (r Request) Answers() <-chan Answer { return r.reply }

// Answer is what the launcher says to a request: one of its members.
type Answer struct {
	Status  *Status       // to DoStatus
	Done    string        // what was done, for people
	Refused *RefusedError // nothing was done
}

// RefusedError is why a launcher did not do what it was asked for.
type RefusedError struct {
	Wrong bool // it can never be done as it was asked; else it cannot be done now
	registry.Problem
}

func (e *RefusedError) Error() string {
	if e.Hint != "" {
		return e.Problem.Error + "; " + e.Hint
	}
	return e.Problem.Error
}
