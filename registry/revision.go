package registry

import "time"

// Revision is the number of a change of the registry. Later changes have
// larger numbers, over restarts of the server too: a server begins at its start
// time in microseconds since 1970 and raises that above every revision that a
// launcher brings back, so that even a clock set back makes no revision twice.
// The zero value means none. Revisions fit into 53 bits until the year 2255, so
// that every language's JSON numbers hold them exactly.
type Revision uint64

// MaxSince is the largest revision that a launcher may bring back, that of the
// year 2112. A server begins above whatever it is brought; without the limit,
// one launcher could use up all the numbers there are.
const MaxSince Revision = 1 << 52

// FirstRevision returns the revision that a server started at now begins with.
func FirstRevision(now time.Time) Revision { return Revision(now.UnixMicro()) }
