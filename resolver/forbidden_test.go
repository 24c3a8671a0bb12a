package resolver

import "testing"

func TestAddressesThatNoServiceHas(t *testing.T) {
	for addr, row := range map[string]struct{ plain, allowed bool }{
		"10.0.0.1:80":                 {true, true},
		"127.0.0.1:80":                {true, true},
		"[2001:db8::1]:80":            {true, true},
		"[fd00::1]:80":                {true, true},
		"db.example.com:80":           {true, true},
		"169.254.169.254:80":          {false, true},
		"[::ffff:169.254.169.254]:80": {false, true},
		"169.254.1.1:80":              {false, true},
		"[fe80::1]:80":                {false, true},
		"[fe80::1%eth0]:80":           {false, true},
		"[fd00:ec2::254]:80":          {false, true},
		"[fd20:ce::254]:80":           {false, true},
		"[64:ff9b::a9fe:a9fe]:80":     {false, true},
		"[64:ff9b:1::a9fe:a9fe]:80":   {false, true},
		"[::a9fe:a9fe]:80":            {false, true},
		"[64:ff9b::a00:1]:80":         {true, true},
		"[::1]:80":                    {true, true},
		"100.100.100.200:80":          {false, true},
		"168.63.129.16:80":            {false, true},
		"0.0.0.0:80":                  {false, false},
		"0.1.2.3:80":                  {false, false},
		"[64:ff9b::]:80":              {false, false},
		"[::]:80":                     {false, false},
		"224.0.0.1:80":                {false, false},
		"[ff02::1]:80":                {false, false},
		"255.255.255.255:80":          {false, false},
	} {
		if err := checkAddress(addr, false); (err == nil) != row.plain {
			t.Errorf("%s: %v; want accepted: %v", addr, err, row.plain)
		}
		if err := checkAddress(addr, true); (err == nil) != row.allowed {
			t.Errorf("%s, link-local allowed: %v; want accepted: %v", addr, err, row.allowed)
		}
	}
}
