"""What do the layers of a frozen backbone hold? Every layer in one go, beside the controls that a claim needs."""
