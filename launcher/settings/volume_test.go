package settings

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestVolumesAndNetworks(t *testing.T) {
	s, err := Parse([]string{
		"CLEAT_VOLUME_WORK=/var/work?owner=33:33&mode=2770&writable=false",
		"CLEAT_VOLUME_DATA=/data?mounted&writable=yes&seed=/usr/share/data&wait=1m&provision=mount+-t%20nfs+-o+'a+b%26c'+nas:/d+/data&release=umount+/data",
		"CLEAT_VOLUME_NONE=",
		"CLEAT_NETWORK_BACK=ethwe:inet6?wait=30s", "CLEAT_NETWORK_A=10.2.0.0/16",
	}, []string{"app"}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Volumes) != 2 || len(s.Networks) != 2 || len(s.Warnings) != 1 {
		t.Fatalf("%d volumes, %d networks, warnings %q", len(s.Volumes), len(s.Networks), s.Warnings)
	}
	data, work := s.Volumes[0], s.Volumes[1]
	if data.Name != "data" || data.Path != "/data" || !data.Mounted || !data.Writable || data.Seed != "/usr/share/data" || data.Wait != time.Minute ||
		data.Provision != "mount -t nfs -o 'a b&c' nas:/d /data" || data.Release != "umount /data" || data.Mode != nil {
		t.Errorf("data is %+v", data)
	}
	if work.Mounted || work.Writable || work.Owner != "33:33" || work.Mode == nil || *work.Mode != 0o2770 {
		t.Errorf("work is %+v", work)
	}
	if n := s.Networks; n[0].Name != "a" || n[0].Spec.String() != "10.2.0.0/16" || n[1].Spec.String() != "ethwe:inet6" || n[1].Wait != 30*time.Second {
		t.Errorf("the networks are %+v", n)
	}
	var out bytes.Buffer
	if err := s.Explain(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`
needs the volumes
  data  /data      mounted, writable, filled from /usr/share/data when empty, waits for 1m
                   made by mount -t nfs -o 'a b&c' nas:/d /data
                   undone by umount /data
  work  /var/work  owner 33:33, mode 2770, waits for ever
`, `
needs the networks
  a     10.2.0.0/16  waits for ever
  back  ethwe:inet6  waits for 30s
`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the account has not\n%s\nbut\n%s", want, out.String())
		}
	}
}

// TestVolumeCommandHidesSecrets: neither an account nor an error shows them.
func TestVolumeCommandHidesSecrets(t *testing.T) {
	const command = "mount+-o+password%3Dhunter2+//nas/d+/data"
	s, err := Parse([]string{"CLEAT_VOLUME_DATA=/data?provision=" + command}, []string{"app"}, testHost)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.Explain(&out); err != nil || strings.Contains(out.String(), "hunter2") {
		t.Errorf("%v, the account is\n%s", err, out.String())
	}
	_, err = Parse([]string{"CLEAT_VOLUME_DATA=data?provision=" + command}, []string{"app"}, testHost)
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the error is %v", err)
	}
}
