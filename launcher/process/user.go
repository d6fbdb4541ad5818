package process

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

const (
	passwdFile = "/etc/passwd"
	groupFile  = "/etc/group"
	// accountLine bounds a line of these files; a group of a thousand members
	// is well under it.
	accountLine = 1 << 20
	// rootGroup is the group of a user number without an entry, as with
	// docker run --user.
	rootGroup = 0
)

// User is whom a process runs as.
type User struct {
	// Name and Home are empty for a number without an entry.
	Name, Home string
	UID, GID   uint32
	Groups     []uint32 // supplementary, with GID among them
}

// LookupUser finds NAME, UID, NAME:GROUP or UID:GID in /etc/passwd and
// /etc/group. A number needs no entry. Without a group, it is the one of the
// entry, else 0, and the user gets its supplementary groups; with one, it gets
// no others. Errors wrap [ErrUser].
func LookupUser(spec string) (User, error) {
	passwd, err := openOptional(passwdFile)
	if err != nil {
		return User{}, fmt.Errorf("%w %q: %w", ErrUser, spec, err)
	}
	defer passwd.Close()
	groups, err := openOptional(groupFile)
	if err != nil {
		return User{}, fmt.Errorf("%w %q: %w", ErrUser, spec, err)
	}
	defer groups.Close()
	return lookupUser(spec, passwd, groups)
}

// openOptional opens a file; an image FROM scratch has none, and then it is
// empty.
func openOptional(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	return f, err
}

func lookupUser(spec string, passwd, groups io.Reader) (User, error) {
	name, group, withGroup := strings.Cut(spec, ":")
	if name == "" || withGroup && group == "" {
		return User{}, fmt.Errorf("%w %q: expected a name or number, and after a colon a group", ErrUser, spec)
	}
	user, known, err := findUser(name, passwd)
	if err != nil {
		return User{}, fmt.Errorf("%w %q: %w", ErrUser, spec, err)
	}
	if !known {
		uid, ok := number(name)
		if !ok {
			return User{}, fmt.Errorf("%w %q: there is no %q in %s (a number needs no entry)", ErrUser, spec, name, passwdFile)
		}
		user.UID, user.GID = uid, rootGroup
	}
	if !withGroup {
		if known {
			user.Groups, err = groupsOf(user.Name, groups)
			if !slices.Contains(user.Groups, user.GID) {
				user.Groups = append(user.Groups, user.GID)
			}
		}
	} else {
		user.GID, err = findGroup(group, groups)
		user.Groups = []uint32{user.GID}
	}
	if err != nil {
		return User{}, fmt.Errorf("%w %q: %w", ErrUser, spec, err)
	}
	return user, nil
}

func (u User) credential() *syscall.Credential {
	return &syscall.Credential{Uid: u.UID, Gid: u.GID, Groups: u.Groups}
}

// The fields of a line of /etc/passwd and /etc/group.
const (
	passwdUID, passwdGID, passwdHome = 2, 3, 5
	groupGID, groupMembers           = 2, 3
	passwdFields, groupFields        = 7, 4
)

// findUser finds a user by name, or else by number.
func findUser(name string, passwd io.Reader) (user User, known bool, err error) {
	wanted, isNumber := number(name)
	err = eachLine(passwd, passwdFields, func(fields []string) {
		uid, ok1 := number(fields[passwdUID])
		gid, ok2 := number(fields[passwdGID])
		byName := fields[0] == name
		if !ok1 || !ok2 || known && !(byName && user.Name != name) {
			return
		}
		if byName || isNumber && uid == wanted {
			user, known = User{Name: fields[0], Home: fields[passwdHome], UID: uid, GID: gid}, true
		}
	})
	return user, known, err
}

// findGroup finds a group's number by its name or number.
func findGroup(name string, groups io.Reader) (gid uint32, err error) {
	found := false
	err = eachLine(groups, groupFields, func(fields []string) {
		if n, ok := number(fields[groupGID]); ok && !found && fields[0] == name {
			gid, found = n, true
		}
	})
	if err != nil || found {
		return gid, err
	}
	if n, ok := number(name); ok {
		return n, nil
	}
	return 0, fmt.Errorf("there is no group %q in %s (a number needs no entry)", name, groupFile)
}

// groupsOf lists the groups that name a user as a member.
func groupsOf(user string, groups io.Reader) (gids []uint32, err error) {
	err = eachLine(groups, groupFields, func(fields []string) {
		gid, ok := number(fields[groupGID])
		if ok && slices.Contains(strings.Split(fields[groupMembers], ","), user) && !slices.Contains(gids, gid) {
			gids = append(gids, gid)
		}
	})
	return gids, err
}

// eachLine calls f with the fields of each line that has as many. Others
// (comments, NIS entries) mean nothing here.
func eachLine(r io.Reader, fields int, f func([]string)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, accountLine)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if split := strings.Split(line, ":"); len(split) == fields && !strings.HasPrefix(line, "#") {
			f(split)
		}
	}
	return lines.Err()
}

// number reads a user's or group's number. The highest one means "unchanged"
// to the kernel and is none.
func number(text string) (uint32, bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return uint32(n), err == nil && n != 1<<32-1
}
