package job

import "testing"

func TestNeeds(t *testing.T) {
	for text, want := range map[string]string{
		"":                                    "",
		"region=eu":                           "region=eu",
		" region=eu,memory=40GB ":             "memory=40+region=eu",
		"memory=40+region=eu":                 "memory=40+region=eu",
		"memory=24GiB memory=24":              "memory=24",
		"version=2":                           "version=2",
		"region":                              "!",
		"region=":                             "!",
		"Region=eu":                           "!",
		"region=e.u":                          "!",
		"region=eu region=us":                 "!",
		"memory=lots":                         "!",
		"memory=40MB":                         "!",
		"memory=0":                            "!",
		"memory=B":                            "!",
		"a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1": "!",
	} {
		got, err := ParseNeeds(text)
		if (want == "!") != (err != nil) || err == nil && got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	big := Labels{"region": "eu", "memory": "80", "version": "2.0.1"}
	for needs, want := range map[string]bool{
		"": true, "region=eu": true, "region=us": false, "memory=80": true, "memory=81": false, "memory=40+region=eu": true, "memory=40+region=us": false,
		"version=2": true, "version=1": false, "colour=red": false,
	} {
		if got := big.Meet(needs); got != want {
			t.Errorf("%v meet %q: %t", big, needs, got)
		}
	}
	if (Labels{"memory": "much"}).Meet("memory=1") || Labels(nil).Meet("memory=1") || !Labels(nil).Meet("") {
		t.Error("who has no memory has enough of it")
	}
	for route, want := range map[string]string{
		"marker": "marker", "marker@region=eu": "marker@region=eu", "marker@region=eu,memory=40GB": "marker@memory=40+region=eu", "@region=eu": "", "marker@": "", "": "",
	} {
		got, err := ParseRoutes([]string{route})
		if (err != nil) != (want == "") || err == nil && got[0] != want {
			t.Errorf("%q: %q, %v", route, got, err)
		}
	}
}
