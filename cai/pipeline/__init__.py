"""What joins the parts: the loop over records, the steps of a recipe, and what of them is stale."""
