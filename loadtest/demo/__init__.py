"""The demo: six scenes on real clusters that show when sessions are lost, and when they are not."""
