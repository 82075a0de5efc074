#!/usr/bin/env bash
# One deal, from registration to a bundle verified offline, each money call made twice.
# Against the server that AME_BASE names (sandbox mode), else against a throw-away one.
# shellcheck source=scripts/smoke_steps.sh
source "$(dirname "${BASH_SOURCE[0]}")/scripts/smoke_steps.sh"

begin
hero_story
echo "smoke_test_hero: passed"
