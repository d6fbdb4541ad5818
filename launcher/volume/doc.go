// Package volume looks whether directories are there that a child needs, waits
// for them, and gets them ready: filled from a seed, with an owner and a mode.
//
// # What it is not
//
// It decides nothing: how long to wait, what a volume that has vanished means,
// and when the commands run that make and undo one is the supervisor's. It
// mounts nothing itself.
//
// # A volume
//
//	missing ──► there (a directory; with mounted a mount point; with writable
//	   ▲          │    one that the child's user can write to)
//	   │          │ Prepare: seed, owner, mode
//	   └──gone────▼
//	            ready
//
// [Look] tells why a volume is not there. [Watcher] tells when it is worth to
// look again: the kernel says so for mounts (poll on /proc/self/mountinfo) and
// for directories (inotify). Nothing is polled.
//
// # Seeding
//
// A volume is empty when there is nothing in it but lost+found and cleat's own
// staging. An empty one gets a copy of the seed: directories, files, links,
// hard links, named pipes and devices, with their modes, owners and times, and
// those of the seed itself for the volume's root. Sockets and extended
// attributes are left out. Who is not root cannot give files away: then they
// belong to him, without set-user-id bits.
//
//	copy to .cleat-seed.part ──► rename to .cleat-seed.done ──► move each entry up ──► remove it
//	     │ ended here: the next one         │ ended here: the next one
//	     ▼ removes it, and begins anew      ▼ moves the rest
//
// So a volume has nothing of the seed or, after the next start at the latest,
// all of it. A lock on the directory keeps two containers that share a volume
// from seeding it at the same time. Nothing that is there is ever overwritten,
// and no link in the volume is ever followed.
//
// # Guarantees
//
//   - [Look] and [Prepare] return soon after their context has ended, whatever
//     the file system does in case of Look.
//   - What is read is bounded: the table of mounts by [mostTable], the depth of a
//     seed by [mostDepth].
//   - Errors name paths, never what is in a file.
package volume
