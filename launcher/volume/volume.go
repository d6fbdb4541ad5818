package volume

import (
	"io/fs"
	"time"
)

// Volume is a directory that must be there before the child is started
// (CLEAT_VOLUME_<NAME>).
type Volume struct {
	Name      string // lower case
	Path      string // absolute and clean
	Mounted   bool   // it is a mount point
	Writable  bool   // the child's user can make files in it
	Owner     string // user[:group] that it is given to; empty: as it is
	Mode      *fs.FileMode
	Seed      string        // directory that is copied into it when it is empty; empty: none
	Wait      time.Duration // 0: for ever
	Provision string        // command that makes it; empty: none
	Release   string        // command that undoes Provision; empty: none
}

// Prepared is what [Prepare] has done.
type Prepared struct {
	Seeded  bool  // from Volume.Seed
	Entries int   // that were copied
	Bytes   int64 // in regular files
	Changed bool  // the owner or the mode
}
