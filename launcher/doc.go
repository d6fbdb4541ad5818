// Package launcher leads a container's whole life: it waits for what the child
// needs, writes its configuration, starts it, tells the discovery servers what
// it offers, keeps all of that true while the world moves, and ends it in good
// order.
//
//	        signals        files         views, drains
//	           │             │                │
//	      [pid1]       [filewatch]       [client.Client]
//	           └──────┐      │      ┌─────────┘
//	                  ▼      ▼      ▼
//	timers ────►   one loop: the supervisor   ────► declare, applied, report
//	                  │             │
//	               [process]     [files]  aside: renders, checks, actions
//	                  │
//	               the child
//
// [Run] is all that the command line needs; [Check] and [Render] ask the same
// rules without a child.
//
// # What it is not
//
// It does not reap orphans (package pid1 does, in a process of its own), reads
// no flags and no environment (package settings is given them), does not speak
// the session protocol (package registry/client does), and knows no template's
// language (package templates does). It never exits: Run returns the code.
//
// # The life
//
//	provisioning ──volumes and networks are there──► waiting
//
//	waiting ──met, quiet──► preparing ──rendered──► hooking ──succeeded──► running ──ended───────► ending
//	 ▲  ▲  ▲                    │                      │                    │   │                   ▲
//	 │  │  └──nothing good yet──┴────────failed────────┘          ended, to │   │ a restart is due  │
//	 │  │                                                  be started again │   ▼                   │
//	 │  └──time is over── backoff ◄─────────────────────────────────────────┴─turning ──ended───────┤
//	 │                                                                          │ drained, no time  │
//	 │                                                                          ▼                   │
//	 └──────────────────────────────────ended─────────────────────────────── halting                │
//	                                                                            │ stop              │
//	                                                                            ▼                   │
//	with a child ──stop──► draining ──► lingering ──────────────────────────► stopping ──ended──────┤
//	                                                                                                │
//	without one ──stop; a wait= is over; it cannot be started───────────────────────────────────────┘
//
//	ending ──coprocesses have ended, POST_STOP is over──► releasing ──volumes are given back──► over
//
// Provisioning is for volumes and networks; the session with a server begins
// after it, so that nothing is said of a container that cannot run yet. What
// goes away later is only warned about, and the next start waits for it
// (ground.go). Waiting is for requirements, views that have been quiet, and a first good
// render; only the child's first start waits for them, and the one after
// on-loss=stop. Every other start takes what is held for met, and after a failed
// render what the child was last started with.
//
// Hooking is for a PRE_START hook; without one, preparing leads to running. The
// exit code is recorded when ending begins. The stop of one child has steps of
// its own, which parting.go draws together with the deadline of the whole stop;
// hook.go, coprocess.go and task.go draw what runs before, beside and after it.
//
// Turning is a drain in place, if the container offers something that serves
// and has a session; halting lasts until the child has ended, by KILL if need
// be. A stop is obeyed in every state: without a child it leads straight to
// ending; without a session, or with nothing offered, straight to stopping; and
// while halting, the restart becomes the stop. A second stop signal skips
// draining and lingering. While stopping nothing is started, rendered or acted
// on, and every view is acknowledged at once. A child that ends while consumers
// are still being told leads to ending as well.
//
// # A change
//
//	change ──► quiet period ──► render in memory ──► checks ──► files ──► actions ──► applied
//	              │                  │                 │                     │
//	              │                  └── no byte ──────┼─────────────────────┼──────► applied
//	              └─ another change extends it         └─ failed: nothing    └─ failed:
//	                                                      changed, retried      retried
//
// A change is a view of a server, a template, or a file that a template reads.
// One batch at a time is under way; what comes meanwhile is for the next. The
// child is restarted when the action of a file says so, when an argument or a
// CLEAT_ENV_ value differs, or when an endpoint has left that it was given in no
// other way than <ALIAS>_HOST and the like; such restarts keep a distance that
// grows while they follow each other.
//
// # Guarantees
//
//   - After the first start, no server is ever a reason to stop or to change
//     anything: without one, views stay as they are.
//   - From what is missing in the view of a server that is warming up, nothing
//     is concluded: no endpoint goes, and nobody founds a ring.
//   - Files change all together or not at all, each by rename where that is
//     possible. Bytes that are the same cause nothing.
//   - With a cache (keep.go), a container that restarts while no server answers
//     starts from the last good views, as if a server that is warming up had told
//     them: from what is missing in them nothing is concluded either.
//   - Of several endpoints each consumer keeps the one that it has chosen as
//     long as it can, so that others may come and go.
//   - The exit code is recorded the moment that the child is gone, before
//     anything is cleaned up.
//   - What was provisioned is released exactly once, the last one first, however
//     the life ends.
//   - When Run returns, no goroutine of it is left, and the server has been told
//     or its time for that is over.
//   - What runs beside the child never touches it: a coprocess may end, a hook of
//     a stop and a task may fail. Only PRE_START can keep it from being started.
//   - No message and no error holds a value: of a variable, of a file, of an
//     attribute.
//
// # Who owns what
//
// One goroutine, the loop of the supervisor, owns all state; there is no mutex.
// What takes time runs aside and comes back over a channel: renders (which have
// the files to themselves meanwhile), commands, looking for addresses. A
// deadline that rings after the state has moved on is harmless, because the
// state decides what it means. Arithmetic has no clock: what is needed
// (need.go), which endpoint (choice.go), how long to wait (quiet.go) and what is
// offered (offer.go) are functions of what they are given, time included.
package launcher
