package btfinfo

import "testing"

func TestParseBanner(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ text, uname, upstream string }{
		{testBannerText, "6.1.0-50-cloud-amd64", "6.1.176"},
		{"Linux version 5.10.0-46-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-10 (Debian 10.2.1-6) 10.2.1 20210110, GNU ld (GNU Binutils for Debian) 2.35.2) #1 SMP Debian 5.10.262-1 (2026-07-31)",
			"5.10.0-46-cloud-amd64", "5.10.262"},
		{"Linux version 7.2.12+deb13-cloud-amd64 (debian-kernel@lists.debian.org) (x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0, GNU ld (GNU Binutils for Debian) 2.44) #1 SMP PREEMPT_DYNAMIC Debian 7.2.12-1~bpo13+1 (2026-11-04)",
			"7.2.12+deb13-cloud-amd64", "7.2.12"},
		{"Linux version 7.0-amd64 (debian-kernel@lists.debian.org) (gcc-15 (Debian 15.2.0-8) 15.2.0) #1 SMP Debian 7.0-1~exp1 (2026-04-20)", "7.0-amd64", "7.0"},
		{"Linux version 7.3-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-15 (Debian 15.2.0-8) 15.2.0) #1 SMP Debian 7.3~rc7-1~exp1 (2026-11-10)", "7.3-cloud-amd64", ""},
		{"Linux version 5.4.0-42-generic (buildd@lgw01-amd64-038) (gcc version 9.3.0 (Ubuntu 9.3.0-10ubuntu2)) #46-Ubuntu SMP Fri Jul 10 00:24:02 UTC 2020 (Ubuntu 5.4.0-42.46-generic 5.4.44)",
			"5.4.0-42-generic", "5.4.44"},
		{"Linux version 6.8.0-31-generic (buildd@lcy02-amd64-080) (x86_64-linux-gnu-gcc-13 (Ubuntu 13.2.0-23ubuntu4) 13.2.0, GNU ld (GNU Binutils for Ubuntu) 2.42) #31-Ubuntu SMP PREEMPT_DYNAMIC Sat Apr 20 00:40:06 UTC 2024 (Ubuntu 6.8.0-31.31-generic 6.8.1)",
			"6.8.0-31-generic", "6.8.1"},
		{"Linux version 6.5.0-15-generic (buildd@lcy02) (gcc 12) #15~22.04.1-Ubuntu SMP PREEMPT_DYNAMIC", "6.5.0-15-generic", ""},
		{"Linux version 6.8.1 (user@host) (gcc (GCC) 13.2.0, GNU ld 2.42) #1 SMP", "6.8.1", "6.8.1"},
		{"Linux version 6.9.1-arch1-1 (linux@archlinux) (gcc (GCC) 14.1.1, GNU ld 2.42.0) #1 SMP PREEMPT_DYNAMIC", "6.9.1-arch1-1", "6.9.1"},
		{"Linux version 4.18.0-147.5.1.el8_1.aarch64 (mockbuild@x) (gcc version 8.3.1) #1 SMP", "4.18.0-147.5.1.el8_1.aarch64", "4.18.0"},
		{"Linux version 6.8.0-rc3 (user@host) (gcc) #2 SMP", "6.8.0-rc3", ""},
		{"Linux version 6.8.0-rc3-next-20240205+ (user@host) (gcc) #2 SMP", "6.8.0-rc3-next-20240205+", ""},
		{"Linux version custom (user@host)", "custom", ""},
		{"Linux version ", "", ""},
		{"FreeBSD 14.0", "", ""},
		{"", "", ""},
	} {
		if got, want := ParseBanner(test.text), (Banner{test.text, test.uname, test.upstream}); got != want {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	}
}
