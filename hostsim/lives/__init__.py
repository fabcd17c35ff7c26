"""What happens to a station: a scenario, a day, a month; and the rig that all live in."""
