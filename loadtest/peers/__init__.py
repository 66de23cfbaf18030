"""Applications of other people's making that answer what our nodes answer: for sharing sessions, and for comparison."""
