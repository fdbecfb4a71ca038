#!/bin/sh
rm -f "data/$SHIPWAY_TARGET.db"
