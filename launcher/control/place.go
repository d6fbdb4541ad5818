package control

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

const (
	// SystemPlace is where the socket of a container's PID 1 is.
	SystemPlace = "/run/cleat.sock"
	// socketName is the name of PID 1's socket elsewhere; the others have their
	// pid in it, because several may run side by side.
	socketName   = "cleat.sock"
	socketPrefix = "cleat-"
	socketSuffix = ".sock"
	// dirPrefix begins the name of a user's private directory; the user's number
	// ends it.
	dirPrefix = "cleat-"
	// dirMode lets everybody reach the socket: the status is for all.
	dirMode = 0o755
	// sharedMemory is a directory that containers have which have no other one
	// that can be written, with a read-only root file system and no /tmp.
	sharedMemory = "/dev/shm"
	// mostFound is how many directories, and sockets in one, are looked at.
	mostFound = 256
)

// Surroundings are what decides where sockets are. The command line fills it in.
type Surroundings struct {
	UID     int    // the effective user
	Runtime string // XDG_RUNTIME_DIR; empty: none
	Temp    string // TMPDIR, or /tmp
	System  string // empty: [SystemPlace]
	Shared  string // empty: /dev/shm
}

func (s Surroundings) system() string {
	if s.System != "" {
		return s.System
	}
	return SystemPlace
}

// shared are the directories in which everybody may make one of their own.
func (s Surroundings) shared() []string {
	memory := s.Shared
	if memory == "" {
		memory = sharedMemory
	}
	var dirs []string
	for _, dir := range []string{s.Temp, memory} {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Place is where a socket may be made.
type Place struct {
	Path    string
	Private bool // its directory belongs to this user, and is made when it is not there
}

// Places returns where the socket of a launcher may be made, the best first: as
// PID 1 /run/cleat.sock. Where that cannot be (a read-only root file system,
// another user than root), and for all others: the user's runtime directory, a
// private directory below TMPDIR, one below /dev/shm.
func (s Surroundings) Places(pid int) []Place {
	var places []Place
	name := socketName
	if pid == 1 {
		places = append(places, Place{Path: s.system()})
	} else {
		name = socketPrefix + strconv.Itoa(pid) + socketSuffix
	}
	if filepath.IsAbs(s.Runtime) && s.owned(s.Runtime, s.UID) == nil {
		places = append(places, Place{Path: filepath.Join(s.Runtime, name)})
	}
	for _, dir := range s.shared() {
		places = append(places, Place{Path: filepath.Join(dir, dirPrefix+strconv.Itoa(s.UID), name), Private: true})
	}
	return places
}

// prepare sees to the directory of a place.
func (p Place) prepare(s Surroundings) error {
	if !p.Private {
		return nil
	}
	dir := filepath.Dir(p.Path)
	err := os.Mkdir(dir, dirMode)
	if err == nil {
		return os.Chmod(dir, dirMode) // whatever the umask
	}
	if !os.IsExist(err) {
		return err
	}
	return s.owned(dir, s.UID)
}

// owned returns why a directory is not one that only this user can write to.
// Somebody else might have made it first.
func (s Surroundings) owned(dir string, uid int) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case !ok || int(stat.Uid) != uid:
		return fmt.Errorf("%s does not belong to user %d", dir, uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("others can write to %s", dir)
	}
	return nil
}

// found is a socket that may be a launcher's.
type found struct {
	path string
	uid  int  // the user that its launcher must run as; -1: any
	main bool // it is a PID 1's
}

// search returns the sockets that there are where launchers make theirs.
func (s Surroundings) search() []found {
	var all []found
	if isSocket(s.system()) {
		all = append(all, found{s.system(), -1, true})
	}
	if filepath.IsAbs(s.Runtime) && s.owned(s.Runtime, s.UID) == nil {
		all = append(all, sockets(s.Runtime, s.UID)...)
	}
	for _, shared := range s.shared() {
		entries, _ := readSome(shared)
		for _, entry := range entries {
			digits, ok := strings.CutPrefix(entry.Name(), dirPrefix)
			uid, err := strconv.Atoi(digits)
			dir := filepath.Join(shared, entry.Name())
			if ok && err == nil && uid >= 0 && s.owned(dir, uid) == nil {
				all = append(all, sockets(dir, uid)...)
			}
		}
	}
	return all
}

// sockets returns the sockets of launchers in a directory.
func sockets(dir string, uid int) []found {
	var all []found
	entries, _ := readSome(dir)
	for _, entry := range entries {
		name := entry.Name()
		main := name == socketName
		if entry.Type()&fs.ModeSocket != 0 && (main || isNumbered(name)) {
			all = append(all, found{filepath.Join(dir, name), uid, main})
		}
	}
	return all
}

// isNumbered reports whether a name is cleat-<pid>.sock.
func isNumbered(name string) bool {
	digits, begins := strings.CutPrefix(name, socketPrefix)
	digits, ends := strings.CutSuffix(digits, socketSuffix)
	pid, err := strconv.Atoi(digits)
	return begins && ends && err == nil && pid > 0
}

// readSome returns the entries of a directory that have to do with cleat, at
// most mostFound. The directory may hold anything else, in any number.
func readSome(dir string) ([]fs.DirEntry, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []fs.DirEntry
	for len(all) < mostFound {
		entries, err := f.ReadDir(mostFound)
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), "cleat") && len(all) < mostFound {
				all = append(all, entry)
			}
		}
		if err != nil || len(entries) == 0 {
			return all, nil
		}
	}
	return all, nil
}

func isSocket(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSocket != 0
}
